//! Lists that are made and read, by those who keep to the rules and by those who do not.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[cfg(feature = "tokio")]
mod driver;
#[cfg(feature = "hickory")]
mod hickory;
mod hostile;
mod making;
mod pace;
mod sync;
mod vectors;
mod world;
