//! Networks of nodes with discovery v4, in virtual time, and whoever is against them.

pub(crate) mod attacks;
#[path = "../support/keys.rs"]
pub(crate) mod keys;
pub(crate) mod liar;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod probe;
pub(crate) mod sight;
