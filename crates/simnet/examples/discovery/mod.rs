//! Networks of nodes with one of the discoveries, in virtual time, and whoever is against them.

pub(crate) mod attacks;
pub(crate) mod caller;
pub(crate) mod crowd;
#[path = "../support/keys.rs"]
pub(crate) mod keys;
pub(crate) mod liar;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod probe;
pub(crate) mod sight;
