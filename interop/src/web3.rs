use std::{fs, path::PathBuf, process, process::Command};

use serde_json::Value;

use crate::program::{build_dir, hash_files, output, source_dir};

/// web3.py, in a Python environment of its own; see `interop/python`.
#[derive(Debug)]
pub struct Web3 {
    python: PathBuf,
}

impl Web3 {
    /// Installs the packages unless the same ones were installed before.
    ///
    /// An error says what the machine lacks: Python with venv and pip, or the packages.
    pub(crate) fn install() -> Result<Self, String> {
        let version = output(Command::new("python3").arg("--version"))?;
        let hash = hash_files(&source_dir("python"), &["txt"], &version);
        let folder = build_dir().join(format!("python-{hash}"));
        let done = folder.join("done");
        if !done.exists() {
            // An environment knows its path: it is made where it stays.
            let _ = fs::remove_dir_all(&folder);
            output(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
            let requirements = source_dir("python").join("requirements.txt");
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
            output(Command::new(folder.join("bin/python")).args(pip).arg(requirements))?;
            fs::write(done, process::id().to_string())
                .expect("the target directory can be written");
        }
        Ok(Self { python: folder.join("bin/python") })
    }

    /// What web3.py makes of a node's answers at this URL or socket, after it has added the peer; see
    /// `interop/python/admin.py`.
    ///
    /// # Errors
    /// How it failed.
    pub fn admin(&self, to: &str, enode: &str) -> Result<Value, String> {
        let script = source_dir("python").join("admin.py");
        let told = output(Command::new(&self.python).arg(script).args([to, enode]))?;
        serde_json::from_str(&told).map_err(|error| error.to_string())
    }
}
