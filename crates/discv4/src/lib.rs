//! Node Discovery v4.
#![forbid(unsafe_code)]

pub mod wire;
