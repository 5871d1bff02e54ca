//! The machine in virtual time: nodes on a network without loss, and strangers who forge what they
//! like. Every test says in its name what it is about.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod machine {
    mod asking;
    mod bonding;
    mod hostile;
    mod lookups;
    mod random;
    mod serving;
    mod starting;
    mod upkeep;
    mod world;
}
