use std::net::{IpAddr, SocketAddr};

use crate::{Class, Delivery};

/// A hash of a sequence of deliveries. It tells runs apart that were not made to look alike, and is
/// the same on all machines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    pub(crate) const fn value(self) -> u64 {
        self.0
    }

    pub(crate) fn record(&mut self, at: u64, delivery: &Delivery) {
        let class = match delivery.class {
            Class::Datagram => 0,
            Class::Segment => 1,
        };
        self.mix(at, class);
        self.address(delivery.from);
        self.address(delivery.to);
        // The length tells zeros at the end from none.
        self.mix(delivery.bytes.len() as u64, 0);
        let (chunks, rest) = delivery.bytes.as_chunks();
        for chunk in chunks {
            self.block(*chunk);
        }
        if !rest.is_empty() {
            let mut last = [0; 16];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            self.block(last);
        }
    }

    fn address(&mut self, address: SocketAddr) {
        match address.ip() {
            IpAddr::V4(ip) => self.mix(u64::from(u32::from(ip)), u64::from(address.port())),
            IpAddr::V6(ip) => {
                self.block(ip.octets());
                self.mix(u64::MAX, u64::from(address.port()));
            }
        }
    }

    fn block(&mut self, bytes: [u8; 16]) {
        let both = u128::from_le_bytes(bytes);
        self.mix(both as u64, (both >> 64) as u64);
    }

    /// Multiplies into 128 bits and folds these, as wyhash does: every bit of what went in counts
    /// for all bits of what comes out.
    fn mix(&mut self, a: u64, b: u64) {
        let product = u128::from(a ^ 0xa076_1d64_78bd_642f)
            * u128::from(b ^ self.0.rotate_left(32) ^ 0xe703_7ed1_a0b4_28db);
        self.0 = self.0.rotate_left(23) ^ (product as u64) ^ ((product >> 64) as u64);
    }
}
