use std::{
    env,
    io::{Write as _, stderr},
    sync::OnceLock,
    thread,
};

use crate::{Geth, GethNode, Knot, Microsocks, NatPrograms, Npm, Sigp, Web3};

/// go-ethereum, built on the first call; `None` where the test is to be left out.
///
/// # Panics
/// When go-ethereum is missing although `DEVP2P_INTEROP=require`, and when it does not compile.
pub fn geth() -> Option<&'static Geth> {
    static GETH: OnceLock<Result<Geth, String>> = OnceLock::new();
    look("go-ethereum", || GETH.get_or_init(Geth::build))
}

/// A whole node of go-ethereum, and its RPC client, built on the first call; `None` where the test is to
/// be left out.
///
/// # Panics
/// When go-ethereum is missing although `DEVP2P_INTEROP=require`, and when it does not compile.
pub fn geth_node() -> Option<&'static GethNode> {
    static NODE: OnceLock<Result<GethNode, String>> = OnceLock::new();
    look("go-ethereum's node", || NODE.get_or_init(GethNode::build))
}

/// web3.py, installed on the first call; `None` where the test is to be left out.
///
/// # Panics
/// When it is missing although `DEVP2P_INTEROP=require`.
pub fn web3() -> Option<&'static Web3> {
    static WEB3: OnceLock<Result<Web3, String>> = OnceLock::new();
    look("web3.py", || WEB3.get_or_init(Web3::install))
}

/// `@ethereumjs/devp2p`, installed on the first call; `None` where the test is to be left out.
///
/// # Panics
/// When it is missing although `DEVP2P_INTEROP=require`.
pub fn ethereumjs() -> Option<&'static Npm> {
    npm("ethereumjs")
}

/// `@chainsafe/discv5`, installed on the first call; `None` where the test is to be left out.
///
/// # Panics
/// When it is missing although `DEVP2P_INTEROP=require`.
pub fn chainsafe() -> Option<&'static Npm> {
    npm("chainsafe")
}

/// The crate `discv5` of Sigma Prime, built on the first call; `None` where the test is to be left
/// out.
///
/// # Panics
/// When it does not compile.
pub fn sigp() -> Option<&'static Sigp> {
    static SIGP: OnceLock<Result<Sigp, String>> = OnceLock::new();
    look("sigp", || SIGP.get_or_init(Sigp::build))
}

/// The name server Knot DNS, of the package `knot`; `None` where the test is to be left out.
///
/// # Panics
/// When it is missing although `DEVP2P_INTEROP=require`.
pub fn knot() -> Option<&'static Knot> {
    static KNOT: OnceLock<Result<Knot, String>> = OnceLock::new();
    look("knot", || KNOT.get_or_init(Knot::find))
}

/// The SOCKS5 proxy microsocks, of the package of that name; `None` where the test is to be left out.
///
/// # Panics
/// When it is missing although `DEVP2P_INTEROP=require`.
pub fn microsocks() -> Option<&'static Microsocks> {
    static MICROSOCKS: OnceLock<Result<Microsocks, String>> = OnceLock::new();
    look("microsocks", || MICROSOCKS.get_or_init(Microsocks::find))
}

/// What a network with a NAT is made of; `None` where the test is to be left out.
///
/// # Panics
/// When it is missing although `DEVP2P_INTEROP=require`.
pub fn nat_programs() -> Option<&'static NatPrograms> {
    static NAT: OnceLock<Result<NatPrograms, String>> = OnceLock::new();
    look("a NAT", || NAT.get_or_init(NatPrograms::find))
}

fn npm(name: &str) -> Option<&'static Npm> {
    static NPM: OnceLock<Result<Npm, String>> = OnceLock::new();
    look(name, || NPM.get_or_init(Npm::install))
}

fn look<P>(name: &str, find: impl FnOnce() -> &'static Result<P, String>) -> Option<&'static P> {
    let mode = env::var("DEVP2P_INTEROP").unwrap_or_default();
    match mode.as_str() {
        "off" => return leave_out(name, "DEVP2P_INTEROP=off"),
        "" | "require" => {}
        other => panic!("DEVP2P_INTEROP is {other:?}: it can be require, off or unset"),
    }
    match find() {
        Ok(program) => Some(program),
        Err(missing) if mode == "require" => panic!("{name} is required: {missing}"),
        Err(missing) => leave_out(name, missing),
    }
}

fn leave_out<P>(name: &str, why: &str) -> Option<P> {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not eprintln, of which the test harness shows nothing when the test passes.
    let _ = writeln!(stderr(), "left out: {test} with {name}: {why}");
    None
}
