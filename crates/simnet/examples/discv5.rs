//! Thousands of nodes with discovery v5 on one core, in virtual time.
//!
//! ```text
//! cargo run --release -p devp2p-simnet --example discv5 -- [--nodes N] [--minutes M] [--seed S] [--short]
//! ```
//!
//! All nodes start within a minute and know one bootnode. The user of each looks for a random
//! target every five minutes. Links take 20 to 150 ms one way and lose 1 %. Signatures and what is
//! agreed in handshakes are stand-ins; ciphers are true. Sessions and records that are kept are a
//! quarter and less of those by default, as thousands of nodes have to fit into one machine; all
//! else is the machine as it is shipped.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a program that fails loudly")]

#[expect(dead_code, reason = "other programs use the rest")]
mod discovery;

use devp2p_discv5::Discv5;

fn main() {
    discovery::crowd::run::<Discv5<discovery::keys::StandIn>>();
}
