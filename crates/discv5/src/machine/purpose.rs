use devp2p_kad::Check;

use super::contact::Contact;
use crate::QueryId;

/// What a request is sent for: who is told of its end.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The table wants to know whether the node is there.
    Check(Box<Check<Contact>>),
    /// A command that asks the node for its own record.
    Enr(QueryId),
    /// A lookup.
    Lookup(QueryId),
    /// The node says that it is there; the table wants to know at once.
    Newcomer,
    /// A command, which is told of the answer as it is.
    Query(QueryId),
    /// A search for this one node.
    Resolve(QueryId),
    /// The table: the node has a newer record.
    Update,
}

impl Purpose {
    /// The command that it serves.
    pub(super) const fn query(&self) -> Option<QueryId> {
        match self {
            Self::Enr(query) | Self::Lookup(query) | Self::Query(query) | Self::Resolve(query) => {
                Some(*query)
            }
            Self::Check(_) | Self::Newcomer | Self::Update => None,
        }
    }
}
