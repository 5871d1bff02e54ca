//! `devp2p key`: the same output for the same key as geth's `devp2p key`.

use std::path::Path;

use devp2p_core::{Node, NodeKey, NodeKeyError, Record};

use crate::{
    args::{Endpoint, KeyArgs, KeyCommand},
    failure::Failure,
    output,
};

/// Runs one of the commands.
pub(crate) fn run(command: KeyCommand) -> Result<(), Failure> {
    let line = match command {
        KeyCommand::Generate(key) => return generate(&key.file),
        KeyCommand::ToId(key) => load(&key.file)?.id().to_string(),
        KeyCommand::ToEnode(endpoint) => node(&endpoint)?.to_enode(),
        KeyCommand::ToEnr(endpoint) => node(&endpoint)?.to_string(),
        KeyCommand::ToPeerId(key) => load(&key.file)?.peer_id().to_string(),
    };
    output::line(&line)
}

/// Reads a key file, of geth's or of libp2p's kind.
pub(crate) fn load(file: &Path) -> Result<NodeKey, Failure> {
    NodeKey::load(file)
        .or_else(|error| match error {
            NodeKeyError::Length { .. } | NodeKeyError::Digit => NodeKey::load_protobuf(file)
                .map_err(|other| match other {
                    NodeKeyError::Protobuf => error,
                    other => other,
                }),
            error => Err(error),
        })
        .map_err(|error| bad_file(file, &error))
}

/// The key of a node to run: one that lasts until the program ends where none is told.
pub(crate) fn of(args: &KeyArgs) -> Result<NodeKey, Failure> {
    told(args)?.map_or_else(fresh, Ok)
}

/// The key that is told, if one is.
pub(crate) fn told(args: &KeyArgs) -> Result<Option<NodeKey>, Failure> {
    match (&args.nodekey, &args.nodekeyhex) {
        (Some(file), _) => load(file).map(Some),
        (None, Some(digits)) => NodeKey::from_hex(digits)
            .map(Some)
            .map_err(|error| Failure::arguments(format!("--nodekeyhex: {error}"))),
        (None, None) => Ok(None),
    }
}

/// A key that lasts until the program ends.
pub(crate) fn fresh() -> Result<NodeKey, Failure> {
    NodeKey::generate().map_err(|error| Failure::work(format!("no entropy for a key: {error}")))
}

/// Does not overwrite a file: a key that is lost is an identity that is lost.
fn generate(file: &Path) -> Result<(), Failure> {
    fresh()?.save_new(file).map_err(|error| bad_file(file, &error))
}

/// A key file that cannot be used.
pub(crate) fn bad_file(file: &Path, error: &NodeKeyError) -> Failure {
    let why = match error {
        NodeKeyError::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    Failure::arguments(format!("key file {}: {why}", file.display()))
}

/// The node at this endpoint, with a record of sequence number 0 as geth's.
fn node(endpoint: &Endpoint) -> Result<Node, Failure> {
    let key = load(&endpoint.key.file)?;
    let mut record = Record::builder().ip(endpoint.ip);
    if endpoint.tcp != 0 {
        record = record.tcp(endpoint.tcp);
    }
    if endpoint.udp != 0 {
        record = record.udp(endpoint.udp);
    }
    record.sign(&key).map(Node::from_record).map_err(Failure::work)
}
