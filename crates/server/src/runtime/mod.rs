//! The tokio driver of [`Core`](crate::Core): tasks that listen, dial, set up and run peers.
//!
//! All of them share one [`Shared`], whose lock is held for the length of one call into the
//! machine and never across an await.

mod listen;
mod own_record;
mod ports;
mod run;
mod setup;
mod shared;

pub use self::setup::SetupError;
pub(crate) use self::{
    listen::listen,
    own_record::OwnRecord,
    ports::map_ports,
    run::run,
    setup::{Opened, Slot, conn_span, set_up},
    shared::{PeerHook, Seams, Shared, State, event_channel, lock, message_event},
};
pub(crate) use devp2p_udp::clock::{now, unix};
