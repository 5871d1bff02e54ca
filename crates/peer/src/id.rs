//! The message ids of the base protocol.

/// Hello, the first message of both sides.
pub const HELLO: u64 = 0x00;
/// Disconnect, the last message.
pub const DISCONNECT: u64 = 0x01;
/// Ping.
pub const PING: u64 = 0x02;
/// Pong, the answer to a Ping.
pub const PONG: u64 = 0x03;
/// How many ids the base protocol keeps for itself; the capabilities' ids follow.
pub const BASE_LENGTH: u64 = 0x10;
