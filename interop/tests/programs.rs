//! Our programs with the foreign peers: `devp2p run` up to the Status of eth, and the example
//! `hello` of `devp2p-peer`.

use devp2p_interop::OurPrograms;
use serde_json::json;

/// Ethereum's main network before its first fork.
const GENESIS: &str = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3";
const FORK_HASH: &str = "fc64ec04";
const FORK_NEXT: u64 = 1_150_000;

fn chain(network: &'static str, fork_id: &'static str) -> [&'static str; 6] {
    ["--network-id", network, "--genesis", GENESIS, "--fork-id", fork_id]
}

#[tokio::test]
async fn the_program_and_geth_exchange_the_status_of_eth_69() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let programs = OurPrograms::get();
    let next = FORK_NEXT.to_string();
    let mut flags = vec!["-protocols", "", "-eth", "68,69", "-genesis", GENESIS];
    flags.extend(["-fork-hash", FORK_HASH, "-fork-next", next.as_str(), "-latest", "7"]);
    let mut geth = geth.server(&flags).await;
    let dialed = geth.node().to_string();
    let mut options = chain("1", "fc64ec04/1150000").to_vec();
    options.extend(["--static", dialed.as_str()]);
    let mut ours = programs.run(&options).await;

    let add = ours.expect("add", geth.id()).await;
    assert_eq!((&add["caps"], &add["inbound"]), (&json!(["eth/69"]), &json!(false)));
    let theirs = ours.expect("status", geth.id()).await;
    assert_eq!((&theirs["version"], &theirs["network_id"]), (&json!(69), &json!(1)));
    assert_eq!((&theirs["genesis"], &theirs["latest"]), (&json!(GENESIS), &json!(7)));
    let (version, seen) = geth.status(ours.id()).await;
    assert_eq!((version.as_str(), &seen["network_id"]), ("69", &json!(1)));
    assert_eq!(seen["genesis_hash"], json!(format!("0x{GENESIS}")));
    assert_eq!(seen["fork_id"], json!({ "hash": FORK_HASH, "next": FORK_NEXT }));

    let id = ours.id();
    ours.interrupt().await;
    let dropped = geth.dropped(id).await;
    assert_eq!((dropped.reason, dropped.by_remote), (Some(0x08), true));
}

#[tokio::test]
async fn the_program_and_ethereumjs_exchange_the_status_of_eth_68() {
    let Some(ethereumjs) = devp2p_interop::ethereumjs() else { return };
    let programs = OurPrograms::get();
    let mut ethereumjs = ethereumjs.peer(&["--protocols", "eth"]).await;
    let mut ours = programs.run(&chain("1", "fc64ec04/1150000")).await;
    ethereumjs.dial(ours.node()).await;

    let add = ours.expect("add", ethereumjs.id()).await;
    assert_eq!((&add["caps"], &add["inbound"]), (&json!(["eth/68"]), &json!(true)));
    let theirs = ours.expect("status", ethereumjs.id()).await;
    assert_eq!((&theirs["version"], &theirs["genesis"]), (&json!(68), &json!(GENESIS)));
    let (version, seen) = ethereumjs.status(ours.id()).await;
    assert_eq!((version.as_str(), &seen["network_id"]), ("68", &json!(1)));
    assert_eq!(seen["genesis_hash"], json!(GENESIS));
    assert_eq!(seen["fork_id"], json!({ "hash": FORK_HASH, "next": FORK_NEXT }));
    ethereumjs.disconnect(ours.id(), 0x04).await;
    let drop = ours.expect("drop", ethereumjs.id()).await;
    assert_eq!((&drop["code"], &drop["side"]), (&json!(4), &json!("remote")));
}

#[tokio::test]
async fn another_chain_is_of_no_use() {
    let Some(program) = devp2p_interop::geth() else { return };
    let programs = OurPrograms::get();
    let mut ours = programs.run(&chain("1", "fc64ec04/1150000")).await;
    for (network, genesis) in [("2", GENESIS), ("1", &"11".repeat(32))] {
        let flags = ["-protocols", "", "-eth", "69", "-network-id", network, "-genesis", genesis];
        let mut geth = program.server(&flags).await;
        geth.dial(ours.node()).await;
        // geth says 0x10 and we say 0x03, whoever is first.
        let drop = ours.expect("drop", geth.id()).await;
        assert!([json!(0x03), json!(0x10)].contains(&drop["code"]), "{drop}");
        geth.dropped(ours.id()).await;
    }
}

#[tokio::test]
async fn the_example_prints_the_hello_of_geth() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let geth = geth.server(&["-name", "geth under test"]).await;
    let programs = OurPrograms::get();
    let node = geth.node().clone();
    let printed = tokio::task::spawn_blocking(move || programs.hello(&node)).await;
    let printed = printed.ok().and_then(Result::ok).unwrap_or_default();
    for part in ["geth under test", "itest/1", "itestb/1"] {
        assert!(printed.contains(part), "{part} is in {printed:?}");
    }
}
