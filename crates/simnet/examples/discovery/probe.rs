//! A host that notes what comes, and sends what it is told.

use std::{collections::VecDeque, net::SocketAddr, time::Instant};

use devp2p_simnet::{Delivery, Host, Transmit};

#[derive(Debug, Default)]
pub(crate) struct Probe {
    pub(crate) received: Vec<(Instant, Delivery)>,
    pub(crate) out: VecDeque<Transmit>,
}

impl Host for Probe {
    fn handle_delivery(&mut self, now: Instant, delivery: &Delivery) {
        self.received.push((now, delivery.clone()));
    }

    fn handle_datagram(&mut self, _: Instant, _: SocketAddr, _: &[u8]) {}

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
