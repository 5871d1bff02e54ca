use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::OnceLock,
};

use data_encoding::HEXLOWER;
use devp2p_core::{Node, NodeKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{Foreign, Raw, RunningProgram, process::Process};

/// The program of `geth/`: go-ethereum's `p2p.Server`, its discovery, or its bare RLPx
/// connections.
#[derive(Debug)]
pub struct Geth {
    program: PathBuf,
}

impl Geth {
    /// Builds the program unless the same sources were built before.
    ///
    /// An error says what the machine lacks: Go, or the modules.
    pub(crate) fn build() -> Result<Self, String> {
        Ok(Self { program: go_build("geth")? })
    }

    /// Starts a server with these flags; see `interop/geth/server.go`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn server(&self, flags: &[&str]) -> Foreign {
        let mut command = Command::new(&self.program);
        command.arg("server").args(flags);
        Foreign::start(Process::spawn("geth", command)).await
    }

    /// Starts discovery v4 alone with these flags; see `interop/geth/discv4.go`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn discv4(&self, flags: &[&str]) -> Foreign {
        let mut command = Command::new(&self.program);
        command.arg("discv4").args(flags);
        Foreign::start(Process::spawn("geth discv4", command)).await
    }

    /// Starts discovery v5 alone with these flags; see `interop/geth/discv5.go`.
    pub(crate) async fn discv5(&self, flags: &[&str]) -> Foreign {
        let mut command = Command::new(&self.program);
        command.arg("discv5").args(flags);
        Foreign::start(Process::spawn("geth discv5", command)).await
    }

    /// Starts nodes of discovery v4 with these keys; see `interop/geth/lookups.go`.
    pub(crate) async fn lookups(&self, keys: &[NodeKey]) -> Foreign {
        let keys: Vec<_> = keys.iter().map(|key| HEXLOWER.encode(&*key.to_bytes())).collect();
        let mut command = Command::new(&self.program);
        command.args(["lookups", "-keys", &keys.join(",")]);
        Foreign::start(Process::spawn("geth lookups", command)).await
    }

    /// Reads or makes a node list, as these flags say, and gives what the program tells of it; see
    /// `interop/geth/dns.go`.
    ///
    /// # Errors
    /// How it failed.
    pub fn dns(&self, flags: &[&str]) -> Result<Value, String> {
        let told = output(Command::new(&self.program).arg("dns").args(flags))?;
        serde_json::from_str(&told).map_err(|error| error.to_string())
    }

    /// Starts a program for bare RLPx connections with these flags; see `interop/geth/raw.go`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn raw(&self, flags: &[&str]) -> Raw {
        let mut command = Command::new(&self.program);
        command.arg("raw").args(flags);
        Raw::start(Process::spawn("geth raw", command)).await
    }
}

/// The programs of `js/`: RLPx and DPT of `@ethereumjs/devp2p`, and `@chainsafe/discv5`.
#[derive(Debug)]
pub struct Npm {
    folder: PathBuf,
}

impl Npm {
    /// Installs the packages unless the same ones were installed before.
    ///
    /// An error says what the machine lacks: Node, npm, or the packages.
    pub(crate) fn install() -> Result<Self, String> {
        let version = output(Command::new("node").arg("--version"))?;
        let sources = source_dir("js");
        let hash = hash_files(&sources, &["json", "mjs", "npmrc"], &version);
        let folder = build_dir().join(format!("js-{hash}"));
        if !folder.exists() {
            let unfinished = folder.with_extension(process::id().to_string());
            fs::create_dir_all(&unfinished).expect("the target directory can be written");
            for file in files(&sources, &["json", "mjs", "npmrc"]) {
                let name = file.file_name().expect("a file has a name");
                fs::copy(&file, unfinished.join(name))
                    .expect("the target directory can be written");
            }
            output(Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(&unfinished))?;
            // Where another process was faster, its folder is as good.
            if fs::rename(&unfinished, &folder).is_err() {
                let _ = fs::remove_dir_all(&unfinished);
            }
        }
        Ok(Self { folder })
    }

    /// Starts ethereumjs with these flags; see `interop/js/peer.mjs`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn peer(&self, flags: &[&str]) -> Foreign {
        let mut command = Command::new("node");
        command.arg(self.folder.join("peer.mjs")).args(flags);
        Foreign::start(Process::spawn("ethereumjs", command)).await
    }

    /// Starts `@chainsafe/discv5` with these flags; see `interop/js/discv5.mjs`.
    pub(crate) async fn discv5(&self, flags: &[&str]) -> Foreign {
        let mut command = Command::new("node");
        command.arg(self.folder.join("discv5.mjs")).args(flags);
        Foreign::start(Process::spawn("chainsafe", command)).await
    }
}

/// The crate `discv5`, as the example `sigp` runs it.
#[derive(Debug)]
pub struct Sigp {
    program: PathBuf,
}

impl Sigp {
    /// Builds the program, with the profile of the test.
    ///
    /// # Panics
    /// When it does not compile: nothing is needed that the test itself does not need.
    pub(crate) fn build() -> Result<Self, String> {
        let folder = cargo_build(&["--package", "devp2p-interop", "--example", "sigp"])
            .unwrap_or_else(|error| panic!("the example sigp does not compile: {error}"));
        Ok(Self { program: folder.join("examples/sigp") })
    }

    /// Starts a node with these flags; see `interop/examples/sigp.rs`.
    pub(crate) async fn discv5(&self, flags: &[&str]) -> Foreign {
        let mut command = Command::new(&self.program);
        command.args(flags);
        Foreign::start(Process::spawn("sigp", command)).await
    }
}

/// Our own programs: `devp2p`, and the example `hello` of `devp2p-peer`.
#[derive(Debug)]
pub struct OurPrograms {
    folder: PathBuf,
}

impl OurPrograms {
    /// The programs, built on the first call, with the profile of the test.
    ///
    /// # Panics
    /// When they do not compile.
    pub fn get() -> &'static Self {
        static PROGRAMS: OnceLock<OurPrograms> = OnceLock::new();
        PROGRAMS.get_or_init(Self::build)
    }

    fn build() -> Self {
        let programs = ["--package", "devp2p-cli", "--bin", "devp2p"];
        let examples = ["--package", "devp2p-peer", "--example", "hello"];
        let folder = cargo_build(&[programs, examples].concat())
            .unwrap_or_else(|error| panic!("our programs do not compile: {error}"));
        Self { folder }
    }

    /// Starts `devp2p run --json` on a free port of 127.0.0.1 with these options.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn run(&self, options: &[&str]) -> RunningProgram {
        let mut command = Command::new(self.folder.join("devp2p"));
        command.args(["run", "--json", "--addr", "127.0.0.1:0"]).args(options);
        RunningProgram::start(Process::spawn("devp2p run", command)).await
    }

    /// Runs `devp2p` with these arguments to its end, and gives what it prints.
    ///
    /// # Errors
    /// How it failed.
    pub fn devp2p(&self, arguments: &[&str]) -> Result<String, String> {
        output(Command::new(self.folder.join("devp2p")).args(arguments))
    }

    /// Runs the example `hello`, and gives what it prints.
    ///
    /// # Errors
    /// How it failed.
    pub fn hello(&self, node: &Node) -> Result<String, String> {
        output(Command::new(self.folder.join("examples/hello")).arg(node.to_string()))
    }
}

/// Builds the Go module in the folder of this name unless the same sources were built before.
///
/// An error says what the machine lacks: Go, or the modules.
pub(crate) fn go_build(name: &str) -> Result<PathBuf, String> {
    let version = output(Command::new("go").arg("version"))?;
    let sources = source_dir(name);
    let hash = hash_files(&sources, &["go", "mod", "sum"], &version);
    let program = build_dir().join(format!("{name}-{hash}"));
    if !program.exists() {
        // Resolving the imports fetches the modules and compiles nothing: what fails here is
        // missing, and what fails below is a defect.
        output(Command::new("go").args(["list", "-deps", "."]).current_dir(&sources))?;
        let unfinished = program.with_extension(process::id().to_string());
        output(
            Command::new("go")
                .args(["build", "-buildvcs=false", "-o"])
                .args([unfinished.as_os_str(), ".".as_ref()])
                .current_dir(&sources),
        )
        .unwrap_or_else(|error| panic!("interop/{name} does not compile: {error}"));
        fs::rename(&unfinished, &program).expect("the target directory can be written");
    }
    Ok(program)
}

/// Builds with the profile of the test, and gives the profile's folder.
pub(crate) fn cargo_build(arguments: &[&str]) -> Result<PathBuf, String> {
    let folder = profile_dir();
    let target = folder.parent().expect("a profile is in the target directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet"]).args(arguments).arg("--target-dir").arg(target);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    output(cargo.current_dir(env!("CARGO_MANIFEST_DIR")))?;
    Ok(folder)
}

pub(crate) fn source_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The folder of the profile in the target directory: tests are in its folder `deps`.
fn profile_dir() -> PathBuf {
    let test = env::current_exe().expect("a program knows its path");
    test.ancestors().nth(2).expect("tests are in the target directory").to_owned()
}

/// Where the foreign programs are built.
pub(crate) fn build_dir() -> PathBuf {
    let folder = profile_dir().join("interop");
    fs::create_dir_all(&folder).expect("the target directory can be written");
    folder
}

/// The files under `folder` that end like this, sorted; `node_modules` is not looked into.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the sources can be read") {
        let path = entry.expect("the sources can be read").path();
        if path.is_dir() && !path.ends_with("node_modules") {
            found.extend(files(&path, endings));
        } else if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && endings.iter().any(|ending| name.rsplit('.').next() == Some(*ending))
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn hash_files(folder: &Path, endings: &[&str], version: &str) -> String {
    let mut hash = Sha256::new_with_prefix(version);
    for path in files(folder, endings) {
        let content = fs::read(&path).expect("the sources can be read");
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update(content.len().to_le_bytes());
        hash.update(content);
    }
    HEXLOWER.encode(&hash.finalize()).split_at(16).0.to_owned()
}

/// Runs a command to its end and gives its output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.output().map_err(|error| format!("{name} does not run: {error}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&done.stderr);
    Err(format!("{command:?} failed: {}", stderr.trim()))
}
