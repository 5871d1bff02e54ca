//! The machine in virtual time: nodes on a network without loss, and strangers who forge what they
//! like. Every test says in its name what it is about.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod answers;
mod handshakes;
mod hostile;
mod limits;
mod random;
mod serving;
mod sessions;
mod talks;
mod world;
