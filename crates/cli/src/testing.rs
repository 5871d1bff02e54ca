//! One peer that follows a script, for the tests of subprotocols.

use std::time::Duration;

use devp2p_core::{Message, NodeKey};
use devp2p_peer::{
    Capability, Config, Direction, End, Hello, Peer, Protocol, ProtocolError, ProtocolStream,
    Subprotocol, hello, pipe,
};
use futures::{SinkExt as _, StreamExt as _};
use tokio::time::sleep;

/// How the session ends between `subprotocol` and a remote that sends these messages, each once
/// it has had time to be answered, and then leaves.
pub(crate) async fn end_with(subprotocol: impl Subprotocol, messages: Vec<Message>) -> End {
    let script = Protocol::new(Script {
        capability: subprotocol.capability(),
        length: subprotocol.length(),
        messages,
    });
    let subprotocol = Protocol::new(subprotocol);
    let [ours, theirs] = [1, 2].map(|byte| NodeKey::from_bytes(&[byte; 32]).unwrap().public_key());
    let (left, right) = pipe(ours, theirs);
    let config = Config::default();
    let greet = |key| Hello::new("test", vec![subprotocol.capability()], key);
    let (our_hello, their_hello) = (greet(ours), greet(theirs));
    let (left, right) =
        tokio::join!(hello(left, &our_hello, &config), hello(right, &their_hello, &config));
    let (_, ours) = left.unwrap().run(&[subprotocol], Direction::Outbound, None);
    let (_, theirs) = right.unwrap().run(&[script], Direction::Inbound, None);
    tokio::join!(ours, theirs).0
}

struct Script {
    capability: Capability,
    length: u64,
    messages: Vec<Message>,
}

/// Longer than any message in memory needs, with the clock paused.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the remote stays after its last message.
const STAY: Duration = Duration::from_secs(8);

impl Subprotocol for Script {
    fn capability(&self) -> Capability {
        self.capability.clone()
    }

    fn length(&self) -> u64 {
        self.length
    }

    async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        for message in &self.messages {
            stream.send(message.clone()).await?;
            sleep(PAUSE).await;
        }
        tokio::select! {
            () = sleep(STAY) => {}
            () = async { while stream.next().await.is_some() {} } => {}
        }
        Ok(())
    }
}
