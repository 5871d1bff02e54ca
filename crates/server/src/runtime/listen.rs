use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use devp2p_peer::Direction;
use tokio::time::sleep;
use tracing::{Instrument as _, debug, field::display, trace};

use super::{
    setup::{Opened, Slot, conn_span, set_up},
    shared::Shared,
};
use crate::{Event, Listener, SetupFailure, Unwelcome};

/// The first pause after accept failed; geth's.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest: one call a second costs nothing, and who waits in the backlog is accepted within a
/// second of the moment when descriptors are free again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Accepts connections until the stop: first a slot, then the stream.
pub(crate) async fn listen(shared: Arc<Shared>, mut listener: Box<dyn Listener>) {
    let quit = shared.quit.clone();
    // Dropping the listener frees its port.
    let _ = quit.run_until_cancelled(accept_all(&shared, listener.as_mut())).await;
    shared.is_listening.store(false, Ordering::Relaxed);
}

async fn accept_all(shared: &Arc<Shared>, listener: &mut dyn Listener) {
    let mut pause = FIRST_PAUSE;
    loop {
        let slot = free_slot(shared).await;
        let io = loop {
            match std::future::poll_fn(|cx| listener.poll_accept(cx)).await {
                Ok(io) => break io,
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    debug!(err = %error, "Read error");
                    shared.emit(Event::ListenerFailed { error: error.to_string() });
                    return;
                }
                Err(error) if is_of_one_connection(&error) => {
                    debug!(err = %error, "Temporary read error");
                    shared.tell(|state, _| state.core.handle_accept_error());
                }
                Err(error) => {
                    // Descriptors may have run out: trying at once would only spin.
                    debug!(err = %error, ?pause, "Temporary read error");
                    shared.tell(|state, _| state.core.handle_accept_error());
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
            }
        };
        pause = FIRST_PAUSE;
        let remote = io.remote_addr();
        let addr = remote.map(display);
        match shared.tell(|state, now| state.core.handle_accepted(now, slot.id(), remote)) {
            Ok(()) => {}
            Err(why @ Unwelcome::NetRestrict) => {
                debug!(addr, err = %why, "Rejected conn (not whitelisted in NetRestrict)");
                slot.fail(SetupFailure::Refused);
                continue;
            }
            Err(why) => {
                debug!(addr, err = %why, "Rejected inbound connection");
                slot.fail(SetupFailure::Refused);
                continue;
            }
        }
        trace!(addr, "Accepted connection");
        let (direction, expected, flags) = (Direction::Inbound, None, "inbound");
        let opened = Opened { io, direction, expected, flags };
        let setup = set_up(Arc::clone(shared), slot, opened);
        shared.spawn(
            async move {
                // What went wrong was logged and counted on the way.
                let _ = setup.await;
            }
            .instrument(conn_span(None, remote, flags)),
        );
    }
}

/// Whether the error tells of a connection that its remote gave up before it was accepted, and so
/// not of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

async fn free_slot(shared: &Arc<Shared>) -> Slot {
    loop {
        let freed = shared.slot_freed.notified();
        if let Some(setup) = shared.tell(|state, _| state.core.take_slot()) {
            return Slot::new(Arc::clone(shared), setup);
        }
        freed.await;
    }
}
