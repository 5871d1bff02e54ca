//! Packets on their way in.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use devp2p_core::{EndpointClass, Family, classify};

use super::Discv5;
use crate::{DropCause, crypto::Identity, wire::PacketKind};

impl<I: Identity> Discv5<I> {
    pub(super) fn receive(
        &mut self,
        _now: Instant,
        _from: SocketAddr,
        _bytes: &[u8],
    ) -> Result<PacketKind, DropCause> {
        Err(DropCause::Size)
    }

    /// Whether we speak to this address at all.
    pub(super) fn is_allowed(&self, ip: IpAddr) -> bool {
        !matches!(classify(ip), EndpointClass::Unspecified | EndpointClass::Multicast)
            && self.config.family.is_none_or(|family| family == Family::of(ip))
            && self.config.net_restrict.as_ref().is_none_or(|list| list.contains(ip))
    }
}
