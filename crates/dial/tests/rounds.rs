//! Rounds in virtual time: something happens, time passes, and the dials that follow are compared.
//! Every comparison says in prose what it is about.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod rounds {
    mod addresses;
    mod anchors;
    mod bootnodes;
    mod candidates;
    mod collisions;
    mod driver_faults;
    mod networks;
    mod statics;
    mod status;
    mod useless;
    mod world;
}
