//! What the programs share: clients, networks of them, and adversaries.

pub(crate) mod arguments;
pub(crate) mod attackers;
pub(crate) mod client;
pub(crate) mod defences;
pub(crate) mod eclipse;
pub(crate) mod keys;
#[path = "../discovery/machine.rs"]
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod network;
pub(crate) mod search;
pub(crate) mod setup;
pub(crate) mod statistics;
pub(crate) mod stream;
