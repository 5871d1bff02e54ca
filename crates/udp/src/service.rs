use std::{
    net::SocketAddr,
    task::{Context, Poll},
    time::Instant,
};

use devp2p_core::{Transmit, WallClock};

/// A discovery without a socket of its own.
///
/// After each call of a `handle_*`, and whenever it wakes its task,
/// [`poll_transmit`](DatagramService::poll_transmit) is called until it is pending.
pub trait DatagramService: Send + 'static {
    /// Whether the datagram is for this service, as far as a glance can tell. The first service
    /// that claims a datagram gets it.
    fn claims(&self, datagram: &[u8]) -> bool;

    /// A datagram came in. Whatever it is, it is counted, and dropped if it is of no use. `now` is
    /// tokio's time.
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]);

    /// The wall clock was read again: it may have been set, or the system may have slept.
    fn handle_wall_clock(&mut self, wall_clock: WallClock);

    /// The socket reported an error instead of a datagram; to be counted.
    fn handle_receive_error(&mut self);

    /// The socket did not send what the service had it send last; to be counted. The datagram is
    /// lost.
    fn handle_send_error(&mut self);

    /// What to send next; `None` when the service is over.
    fn poll_transmit(&mut self, cx: &mut Context<'_>) -> Poll<Option<Transmit>>;
}
