//! Thousands of nodes with discovery v4 on one core, in virtual time.
//!
//! ```text
//! cargo run --release -p devp2p-simnet --example discv4 -- [--nodes N] [--minutes M] [--seed S] [--short]
//! ```
//!
//! All nodes start within a minute and know one bootnode. The user of each looks for a random
//! target every five minutes. Links take 20 to 150 ms one way and lose 1 %. Signatures are stand-ins,
//! and records are not fetched, as those are signed with true keys; all else is the machine as it is
//! shipped.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a program that fails loudly")]

#[expect(dead_code, reason = "other programs use the rest")]
mod discovery;

use devp2p_discv4::Discv4;

fn main() {
    discovery::crowd::run::<Discv4<discovery::keys::StandIn>>();
}
