use std::{fmt, time::Instant};

/// Why a node is not dialed. Listed in the order of the checks: the first that holds is told, of
/// [`RecentlyDialed`](Self::RecentlyDialed) and [`BackingOff`](Self::BackingOff) the one that lasts
/// longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It, or its address, is banned. The scheduler never says so: whoever asks it does, first.
    Banned,
    /// The scheduler was stopped.
    Stopped,
    /// Only static nodes are dialed.
    DialingOff,
    /// The static list, or that of the bootnodes, is full.
    ListFull,
    /// It is in the static list, and dialed from there.
    IsStatic,
    /// It is ourselves.
    SelfDial,
    /// It has an address, but no TCP port.
    NoPort,
    /// It has no address, or none was found.
    NoAddress,
    /// A dial, or a search for its address, is in flight.
    AlreadyDialing,
    /// It is a peer.
    AlreadyConnected,
    /// A connection from it is being set up.
    PendingInbound,
    /// Its address is outside of the networks that may be dialed.
    NetRestrict,
    /// It was of no use when it was dialed last.
    Useless {
        /// When it may be dialed again.
        until: Instant,
    },
    /// It was dialed a short while ago.
    RecentlyDialed {
        /// When it may be dialed again.
        until: Instant,
    },
    /// Dials to it, or searches for its address, failed.
    BackingOff {
        /// When it may be dialed again.
        until: Instant,
    },
    /// As many nodes of its network are dialed, or peers that we dialed, as may be.
    PrefixLimit,
    /// As many dials are in flight, or peers dialed, or dials remembered, as may be.
    NoSlot,
}

impl Refusal {
    /// What it is for whoever counts refusals: without the time.
    pub const fn cause(&self) -> RefusalCause {
        match self {
            Self::Banned => RefusalCause::Banned,
            Self::Stopped => RefusalCause::Stopped,
            Self::DialingOff => RefusalCause::DialingOff,
            Self::ListFull => RefusalCause::ListFull,
            Self::IsStatic => RefusalCause::IsStatic,
            Self::SelfDial => RefusalCause::SelfDial,
            Self::NoPort => RefusalCause::NoPort,
            Self::NoAddress => RefusalCause::NoAddress,
            Self::AlreadyDialing => RefusalCause::AlreadyDialing,
            Self::AlreadyConnected => RefusalCause::AlreadyConnected,
            Self::PendingInbound => RefusalCause::PendingInbound,
            Self::NetRestrict => RefusalCause::NetRestrict,
            Self::Useless { .. } => RefusalCause::Useless,
            Self::RecentlyDialed { .. } => RefusalCause::RecentlyDialed,
            Self::BackingOff { .. } => RefusalCause::BackingOff,
            Self::PrefixLimit => RefusalCause::PrefixLimit,
            Self::NoSlot => RefusalCause::NoSlot,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause().fmt(f)
    }
}

impl std::error::Error for Refusal {}

/// The variants of [`Refusal`] alone, to count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are those of `Refusal`, which says what they are")]
pub enum RefusalCause {
    Banned,
    Stopped,
    DialingOff,
    ListFull,
    IsStatic,
    SelfDial,
    NoPort,
    NoAddress,
    AlreadyDialing,
    AlreadyConnected,
    PendingInbound,
    NetRestrict,
    Useless,
    RecentlyDialed,
    BackingOff,
    PrefixLimit,
    NoSlot,
}

impl RefusalCause {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Banned,
        Self::Stopped,
        Self::DialingOff,
        Self::ListFull,
        Self::IsStatic,
        Self::SelfDial,
        Self::NoPort,
        Self::NoAddress,
        Self::AlreadyDialing,
        Self::AlreadyConnected,
        Self::PendingInbound,
        Self::NetRestrict,
        Self::Useless,
        Self::RecentlyDialed,
        Self::BackingOff,
        Self::PrefixLimit,
        Self::NoSlot,
    ];
}

impl fmt::Display for RefusalCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Banned => "is banned",
            Self::Stopped => "the scheduler was stopped",
            Self::DialingOff => "only static nodes are dialed",
            Self::ListFull => "the list is full",
            Self::IsStatic => "is in the static list",
            Self::SelfDial => "is self",
            Self::NoPort => "node does not provide a tcp port",
            Self::NoAddress => "no address is known",
            Self::AlreadyDialing => "already dialing",
            Self::AlreadyConnected => "already connected",
            Self::PendingInbound => "peer has a pending inbound connection",
            Self::NetRestrict => "not contained in the netrestrict list",
            Self::Useless => "was of no use",
            Self::RecentlyDialed => "recently dialed",
            Self::BackingOff => "backing off",
            Self::PrefixLimit => "too many nodes of its network are dialed",
            Self::NoSlot => "no free slot",
        })
    }
}
