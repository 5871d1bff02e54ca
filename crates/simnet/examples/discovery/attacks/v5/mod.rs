//! What only discovery v5 can be attacked with.

pub(super) mod amplification;
pub(super) mod false_friends;
pub(super) mod replay;
pub(super) mod spoofing;
pub(super) mod unsolicited;
