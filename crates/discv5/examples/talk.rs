//! Two nodes on loopback, and a question from one to the other in a protocol of their own:
//! `cargo run -p devp2p-discv5 --example talk`

use std::{
    error::Error,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use devp2p_core::{Family, LocalRecord, Node, NodeKey, Rng};
use devp2p_discv5::{Config, Driver, Handle, Service, Socket};

const PROTOCOL: &str = "reverse";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (alice, bob) = (start()?, start()?);
    let at_bob = Node::from_record(bob.local_record());

    // Bob turns round whatever he is sent.
    let mut requests = bob.register_talk(PROTOCOL).await?;
    let answering = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            println!("bob:   {:#} asks {:?}", request.id(), request.request());
            let answer: Vec<u8> = request.request().iter().rev().copied().collect();
            if let Err(error) = request.respond(answer).await {
                println!("bob:   {error}");
            }
        }
    });

    // The first question makes the session that the second one uses.
    for question in ["hello", "devp2p"] {
        let answer = alice.talk(&at_bob, PROTOCOL, question).await?;
        println!("alice: the answer to {question:?} is {answer:?}");
    }
    let nothing = alice.talk(&at_bob, "unheard of", "hello").await?;
    println!("alice: a protocol that he does not know gets {nothing:?}");
    println!("alice: the way to Bob and back takes {:?}", alice.ping(&at_bob).await?);

    bob.close().await;
    answering.await?;
    Ok(())
}

/// A node with a new key.
fn start() -> Result<Handle, Box<dyn Error>> {
    let (key, socket) = (NodeKey::generate()?, Socket::bind("127.0.0.1:0".parse()?)?);
    #[expect(clippy::disallowed_methods, reason = "the first number of a record is a clock's")]
    let unix_millis = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis().try_into()?;
    let (mut local, addr) =
        (LocalRecord::new(key.clone(), None, unix_millis)?, socket.local_addr()?);
    local.set_fallback_ip(addr.ip());
    local.set_udp_port(Family::V4, Some(addr.port()));

    let (local, seed) = (Arc::new(Mutex::new(local)), Rng::from_os()?.seed());
    let (service, handle) = Service::new(Config::default(), key, local, Vec::new(), seed);
    tokio::spawn(Driver::new(service, socket));
    Ok(handle)
}
