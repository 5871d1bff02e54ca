//! Services, their handles and streams: on paused time with datagrams in memory, and with sockets
//! on loopback.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test")]

mod commands;
mod events;
mod loopback;
mod network;
mod nodes;
mod record;
mod talk;
