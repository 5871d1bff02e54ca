use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use devp2p_core::{NodeId, NodeKey, PublicKey, Record, Rng};
use devp2p_discv5::{
    handshake::{Initiator, Unconfirmed},
    message::{Body, Message, RequestId},
    session::Session,
    wire::{MAX_PACKET_SIZE, Masking, Nonce, Packet, ProtocolId, WhoAreYou},
};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

use crate::process::now;

/// How long an answer may take. Whoever is to stay silent is listened to for as long.
const ANSWER: Duration = Duration::from_millis(700);

/// A node of discovery v5 of which every packet is up to the test. It answers nothing by itself.
#[derive(Debug)]
pub struct WireNode {
    /// Its randomness.
    pub rng: Rng,
    key: NodeKey,
    record: Record,
    socket: UdpSocket,
    masking: Masking,
    /// The ids of its requests.
    requests: u8,
}

/// The node that a [`WireNode`] writes to.
#[derive(Clone, Debug)]
pub struct Target {
    record: Record,
    address: SocketAddr,
    masking: Masking,
}

impl Target {
    /// The node with this record, at the address that it has.
    ///
    /// # Panics
    /// When it has none.
    pub fn new(record: Record) -> Self {
        let address = match (record.ip(), record.udp(), record.ip6(), record.udp6()) {
            (Some(ip), Some(port), ..) => SocketAddr::from((ip, port)),
            (_, _, Some(ip), Some(port)) => SocketAddr::from((ip, port)),
            _ => panic!("{record} has no endpoint"),
        };
        let masking = Masking::new(record.id(), ProtocolId::default());
        Self { record, address, masking }
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.record.id()
    }

    /// Its key.
    pub fn public_key(&self) -> PublicKey {
        self.record.public_key()
    }

    /// The masking of packets to it.
    pub const fn masking(&self) -> &Masking {
        &self.masking
    }
}

impl WireNode {
    /// A node with a fresh key, at a free port of this address.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start(ip: IpAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).await.expect("there is a free port");
        let port = socket.local_addr().expect("a bound socket has an address").port();
        let key = NodeKey::generate().expect("there is entropy");
        let record = Record::builder().seq(1).ip(ip);
        let record = if ip.is_ipv4() { record.udp(port) } else { record.udp6(port) };
        let record = record.sign(&key).expect("the record is small");
        let masking = Masking::new(key.id(), ProtocolId::default());
        let rng = Rng::from_os().expect("there is entropy");
        Self { rng, key, record, socket, masking, requests: 0 }
    }

    /// Its key.
    pub const fn key(&self) -> &NodeKey {
        &self.key
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.key.id()
    }

    /// Its record.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The masking of packets to it.
    pub const fn masking(&self) -> &Masking {
        &self.masking
    }

    /// Sends a datagram.
    ///
    /// # Panics
    /// When the socket does not take it.
    pub async fn send(&self, target: &Target, datagram: &[u8]) {
        let sent = self.socket.send_to(datagram, target.address).await;
        sent.expect("the socket takes a datagram");
    }

    /// The next datagram from there, if it comes soon.
    pub async fn receive(&self, target: &Target) -> Option<Bytes> {
        self.receive_until(target, now() + ANSWER).await
    }

    async fn receive_until(&self, target: &Target, deadline: Instant) -> Option<Bytes> {
        let mut buffer = [0; 2 * MAX_PACKET_SIZE];
        loop {
            let received = timeout_at(deadline, self.socket.recv_from(&mut buffer)).await.ok()?;
            let (size, from) = received.expect("the socket works");
            if from == target.address {
                return Some(Bytes::copy_from_slice(buffer.split_at(size).0));
            }
        }
    }

    /// A packet that nobody can open, and its nonce.
    ///
    /// # Panics
    /// Never: it is a packet.
    pub fn random_packet(&mut self, target: &Target) -> (Bytes, Nonce) {
        let datagram = target.masking.random_packet(self.id(), &mut self.rng);
        let nonce = target.masking.peek(&datagram).expect("it is a packet").nonce();
        (datagram, nonce)
    }

    /// The challenge to the packet with this nonce, if it comes, and its datagram.
    pub async fn challenge(&self, target: &Target, nonce: Nonce) -> Option<(WhoAreYou, Bytes)> {
        self.challenge_as(&self.masking, target, nonce).await
    }

    /// [`challenge`](Self::challenge) where the packet had the id of another node.
    pub async fn challenge_as(
        &self,
        masking: &Masking,
        target: &Target,
        nonce: Nonce,
    ) -> Option<(WhoAreYou, Bytes)> {
        let deadline = now() + ANSWER;
        loop {
            let datagram = self.receive_until(target, deadline).await?;
            if let Ok(Packet::WhoAreYou(challenge)) = masking.decode(&datagram)
                && challenge.request_nonce() == nonce
            {
                return Some((challenge, datagram));
            }
        }
    }

    /// Sends a packet that has to be answered with a challenge.
    ///
    /// # Panics
    /// When it is not.
    pub async fn provoke(&mut self, target: &Target) -> (WhoAreYou, Bytes) {
        let (datagram, nonce) = self.random_packet(target);
        self.send(target, &datagram).await;
        self.challenge(target, nonce).await.expect("who has no session challenges")
    }

    /// The answer to a challenge, which carries this message.
    ///
    /// # Panics
    /// When the message is too large.
    pub fn handshake(
        &mut self,
        target: &Target,
        challenge: &WhoAreYou,
        message: &Message,
    ) -> (Bytes, Unconfirmed) {
        let rng = &mut self.rng;
        let remote = target.public_key();
        let message = message.to_bytes().expect("the message can be written");
        Initiator::new(&self.key, &self.record, remote, challenge, rng)
            .seal(&target.masking, &message, rng)
            .expect("the message is small")
    }

    /// A whole handshake, and the answer to the request that it carries.
    ///
    /// # Panics
    /// When there is no challenge.
    pub async fn connect(&mut self, target: &Target, body: Body) -> Option<(Session, Message)> {
        let (challenge, _) = self.provoke(target).await;
        let message = self.request(body);
        let (datagram, unconfirmed) = self.handshake(target, &challenge, &message);
        self.send(target, &datagram).await;
        self.confirm(target, unconfirmed, message.request_id).await
    }

    /// The session, if an answer to the handshake's request comes.
    pub async fn confirm(
        &self,
        target: &Target,
        mut unconfirmed: Unconfirmed,
        request: RequestId,
    ) -> Option<(Session, Message)> {
        let deadline = now() + ANSWER;
        loop {
            let datagram = self.receive_until(target, deadline).await?;
            let Ok(Packet::Ordinary(packet)) = self.masking.decode(&datagram) else { continue };
            match unconfirmed.confirm(&packet) {
                Err(same) => unconfirmed = same,
                Ok((session, message)) => {
                    let message = read(&message);
                    if message.request_id == request {
                        return Some((session, message));
                    }
                    // A request of its own was first.
                    let answer = self.answer_until(target, &session, request, deadline).await?;
                    return Some((session, answer));
                }
            }
        }
    }

    /// A request with an id of its own.
    pub fn request(&mut self, body: Body) -> Message {
        self.requests = self.requests.wrapping_add(1);
        let id = [0xee, self.requests];
        Message { request_id: RequestId::new(&id).expect("it is short"), body }
    }

    /// Asks within a session; `None` where no answer comes.
    pub async fn ask(
        &mut self,
        target: &Target,
        session: &mut Session,
        body: Body,
    ) -> Option<Message> {
        let message = self.request(body);
        let bytes = message.to_bytes().expect("the message can be written");
        self.ask_bytes(target, session, &bytes, message.request_id).await
    }

    /// [`ask`](Self::ask) with a message of any bytes.
    ///
    /// # Panics
    /// When it is too large.
    pub async fn ask_bytes(
        &mut self,
        target: &Target,
        session: &mut Session,
        message: &[u8],
        request: RequestId,
    ) -> Option<Message> {
        let datagram = session.seal(&target.masking, self.id(), message, &mut self.rng);
        self.send(target, &datagram.expect("the message fits")).await;
        self.answer_until(target, session, request, now() + ANSWER).await
    }

    /// Whether a message comes that this session opens, and `pick` wants; `masking` is that of the
    /// node that we say we are.
    pub async fn hears(
        &self,
        masking: &Masking,
        target: &Target,
        session: &Session,
        pick: impl Fn(&[u8]) -> bool,
    ) -> bool {
        let deadline = now() + ANSWER;
        while let Some(datagram) = self.receive_until(target, deadline).await {
            let Ok(Packet::Ordinary(packet)) = masking.decode(&datagram) else { continue };
            if session.open(&packet).is_some_and(|message| pick(&message)) {
                return true;
            }
        }
        false
    }

    async fn answer_until(
        &self,
        target: &Target,
        session: &Session,
        request: RequestId,
        deadline: Instant,
    ) -> Option<Message> {
        loop {
            let datagram = self.receive_until(target, deadline).await?;
            let Ok(Packet::Ordinary(packet)) = self.masking.decode(&datagram) else { continue };
            let Some(message) = session.open(&packet) else { continue };
            let message = read(&message);
            if message.request_id == request {
                return Some(message);
            }
        }
    }
}

fn read(message: &Bytes) -> Message {
    Message::decode(message).unwrap_or_else(|error| panic!("{error}: {message:02x?}"))
}
