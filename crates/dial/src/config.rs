use std::{ops::RangeInclusive, time::Duration};

use devp2p_core::{LanPolicy, NetRestrict, Node, NodeId};

/// What a [`Scheduler`](crate::Scheduler) is told at its start. The defaults are go-ethereum's
/// where it has the value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Our own id, which is never dialed.
    pub local_id: NodeId,
    /// How many peers we want to have dialed. Binds dynamic dials and those of anchors and
    /// bootnodes, which start only while dialed peers, of any kind, and dials in flight are fewer than this. Static
    /// nodes are dialed beyond it.
    pub max_dialed: usize,
    /// How many dialed peers and dials in flight one network may have, a /24 or a /48. Binds dynamic
    /// dials and anchors: static nodes and bootnodes are dialed beyond it, and do not count. A node with
    /// several addresses counts in the network of each until one has answered.
    pub max_dialed_per_prefix: usize,
    /// Whether that limit holds in local networks too.
    pub lan_policy: LanPolicy,
    /// How many dials, of any kind, are in flight at once, the wait for an address included.
    pub max_active_dials: usize,
    /// Whether nodes other than the static ones are dialed.
    pub dynamic: bool,
    /// Whether configured nodes that have a name are dialed by it, and the name is not looked up
    /// before: a proxy does that. Candidates that have only a name are not dialed then, since no
    /// limit by address would hold for them.
    pub dial_names: bool,
    /// Where set, only addresses in these networks are dialed, and nothing by a name.
    pub net_restrict: Option<NetRestrict>,
    /// Nodes to stay connected to.
    pub static_nodes: Vec<Node>,
    /// Good peers from before a restart, dialed before any candidate: so whoever fills our table
    /// with nodes of its own while we are away does not get all our slots. No more than
    /// [`MAX_ANCHORS`](crate::MAX_ANCHORS) are used, the first ones, in no more than half of the
    /// slots, or in the only one. Each takes a slot until it was dialed twice in vain.
    pub anchors: Vec<Node>,
    /// Nodes to dial as a last resort, in turn.
    pub bootnodes: Vec<Node>,
    /// For how long after the start of a dial the node is not dialed again.
    pub history: Duration,
    /// How long a static node, a bootnode or an anchor waits after a dial that failed, from the start of that
    /// dial: the first and the longest delay. It doubles.
    pub static_backoff: RangeInclusive<Duration>,
    /// How long any other node waits after a dial that failed, at most: the first and the longest
    /// delay. It doubles, and a random part, up to a half, is taken off.
    pub dynamic_backoff: RangeInclusive<Duration>,
    /// How long a node that was of no use when we dialed it is no candidate: the first and the
    /// longest time. It doubles with each dial, and a session of use ends it. Static nodes and
    /// bootnodes are wanted all the same: they wait for `static_backoff`.
    pub useless_backoff: RangeInclusive<Duration>,
    /// How long to wait after a failed attempt to find a node's address: the first and the longest
    /// delay. It doubles.
    pub resolve_backoff: RangeInclusive<Duration>,
    /// How long to wait for [`Input::Resolved`](crate::Input::Resolved) before the attempt counts
    /// as failed.
    pub resolve_timeout: Duration,
    /// How long to wait before a node is dialed again with which a dial collided. The time is
    /// random, so that two nodes do not collide again and again.
    pub collision_backoff: RangeInclusive<Duration>,
    /// How long we must have been without any peer before a bootnode is dialed.
    pub bootstrap_after: Duration,
    /// For how long [`Input::PendingInbound`](crate::Input::PendingInbound) holds back a dial,
    /// should its [`Input::PendingInboundDone`](crate::Input::PendingInboundDone) not come.
    pub pending_inbound_timeout: Duration,
    /// How often [`Output::Stats`](crate::Output::Stats) may come; 0 for never.
    pub stats_interval: Duration,
}

impl Config {
    /// The default configuration of the node `local_id`.
    pub const fn new(local_id: NodeId) -> Self {
        Self {
            local_id,
            max_dialed: 16,
            max_dialed_per_prefix: 2,
            lan_policy: LanPolicy::Exempt,
            max_active_dials: 16,
            dynamic: true,
            dial_names: false,
            net_restrict: None,
            static_nodes: Vec::new(),
            anchors: Vec::new(),
            bootnodes: Vec::new(),
            history: Duration::from_secs(35),
            static_backoff: Duration::from_secs(35)..=Duration::from_mins(2),
            dynamic_backoff: Duration::from_mins(1)..=Duration::from_hours(1),
            useless_backoff: Duration::from_mins(10)..=Duration::from_hours(24),
            resolve_backoff: Duration::from_mins(1)..=Duration::from_hours(1),
            resolve_timeout: Duration::from_secs(30),
            collision_backoff: Duration::from_secs(1)..=Duration::from_secs(3),
            bootstrap_after: Duration::from_secs(20),
            pending_inbound_timeout: Duration::from_secs(30),
            stats_interval: Duration::from_secs(10),
        }
    }
}
