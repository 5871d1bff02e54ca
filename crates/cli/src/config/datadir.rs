//! The folder of a node.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use devp2p_core::{Node, NodeKey};

use crate::{args::parse_static, failure::Failure, key};

/// The folder that a node keeps what is its own in, with geth's names.
#[derive(Debug)]
pub(crate) struct Datadir(PathBuf);

impl Datadir {
    /// Makes the folder, for its owner alone, where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(|error| {
            Failure::arguments(format!("--datadir {}: {error}", path.display()))
        })?;
        Ok(Self(path.to_owned()))
    }

    /// The node's key, made where there is none.
    pub(crate) fn key(&self) -> Result<NodeKey, Failure> {
        let file = self.0.join("nodekey");
        NodeKey::load_or_create(&file).map_err(|error| key::bad_file(&file, &error))
    }

    /// The file that remembers nodes.
    pub(crate) fn node_database(&self) -> Result<PathBuf, Failure> {
        let file = self.0.join("nodes");
        if file.is_dir() {
            let why = "a folder, which may be geth's node database: --nodedb names another file";
            return Err(Failure::arguments(format!("{}: {why}", file.display())));
        }
        Ok(file)
    }

    /// Adds the nodes to stay connected with.
    pub(crate) fn add_static_nodes(&self, nodes: &mut Vec<Node>) -> Result<(), Failure> {
        self.add("static-nodes.json", parse_static, nodes)
    }

    /// Adds the nodes that may always connect.
    pub(crate) fn add_trusted_nodes(&self, nodes: &mut Vec<Node>) -> Result<(), Failure> {
        let parse = |text: &str| text.parse().map_err(|error| format!("{error}"));
        self.add("trusted-nodes.json", parse, nodes)
    }

    /// Adds the nodes of a list of geth's, a JSON array of texts, that are not there yet. A text that
    /// is empty stands for none, as in geth.
    fn add(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<Node, String>,
        nodes: &mut Vec<Node>,
    ) -> Result<(), Failure> {
        let file = self.0.join(name);
        let bad = |why: String| Failure::arguments(format!("{}: {why}", file.display()));
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(bad(error.to_string())),
        };
        let list: Vec<String> = serde_json::from_str(&text)
            .map_err(|error| bad(format!("wants a JSON array of enode URLs: {error}")))?;
        let mut known: BTreeSet<_> = nodes.iter().map(Node::id).collect();
        for (index, text) in list.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            let node = parse(text).map_err(|why| bad(format!("[{index}]: {text:?}: {why}")))?;
            if known.insert(node.id()) {
                nodes.push(node);
            }
        }
        Ok(())
    }
}
