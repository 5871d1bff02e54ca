use std::fmt;

use bytes::{Bytes, BytesMut};
use devp2p_core::{NodeKey, PublicKey, Rng, Traffic};
use zeroize::Zeroizing;

use crate::{
    FrameCodec, HandshakeError, Role, Secrets, Transcript,
    keccak::Backend,
    packet::{self, Ack, Auth, MAX_PACKET_SIZE, MIN_ACK_SIZE, MIN_AUTH_SIZE, PREFIX, VERSION},
    secrets::xor,
};

/// The handshake, either side, without the network.
///
/// Nothing here opens a socket, reads a clock or draws entropy. Write what
/// [`poll_transmit`](Handshake::poll_transmit) gives; where [`into_session`](Handshake::into_session)
/// gives the machine back, read, and put what arrived into
/// [`handle_input`](Handshake::handle_input).
///
/// ```
/// use bytes::BytesMut;
/// use devp2p_core::{NodeKey, Rng};
/// use devp2p_rlpx::Handshake;
///
/// let (alice, bob) = (NodeKey::generate()?, NodeKey::generate()?);
/// let mut dialer = Handshake::initiator(&alice, &bob.public_key(), Rng::from_os()?);
/// let mut listener = Handshake::recipient(&bob, Rng::from_os()?);
///
/// let mut wire = BytesMut::from(&dialer.poll_transmit().unwrap()[..]);
/// listener = listener.handle_input(&mut wire)?;
/// let mut wire = BytesMut::from(&listener.poll_transmit().unwrap()[..]);
/// dialer = dialer.handle_input(&mut wire)?;
///
/// assert_eq!(dialer.into_session().unwrap().remote(), bob.public_key());
/// assert_eq!(listener.into_session().unwrap().remote(), alice.public_key());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Handshake {
    state: State,
    transmit: Option<Bytes>,
}

enum State {
    AwaitAck(Box<AwaitAck>),
    AwaitAuth(Box<AwaitAuth>),
    Complete(Box<Session>),
}

/// The initiator has sent its auth packet.
struct AwaitAck {
    key: NodeKey,
    remote: PublicKey,
    ephemeral: NodeKey,
    nonce: [u8; 32],
    auth: Bytes,
}

/// The recipient has said nothing yet.
struct AwaitAuth {
    key: NodeKey,
    rng: Rng,
}

impl Handshake {
    /// The side that dials `remote`. The randomness has to be fresh and secret, and is erased
    /// after use.
    pub fn initiator(key: &NodeKey, remote: &PublicKey, mut rng: Rng) -> Self {
        let ephemeral = key.ephemeral(&mut rng);
        let nonce = draw_nonce(&mut rng);
        let auth = Auth {
            signature: ephemeral.sign_recoverable(&signed(key, remote, &nonce)),
            public_key: *key.public_key().as_bytes(),
            nonce,
            version: VERSION,
        };
        let auth = Bytes::from(packet::seal(remote, key, auth.encode(), &mut rng));
        Self {
            transmit: Some(auth.clone()),
            state: State::AwaitAck(Box::new(AwaitAck {
                key: key.clone(),
                remote: *remote,
                ephemeral,
                nonce,
                auth,
            })),
        }
    }

    /// The side that was dialed. The randomness has to be fresh and secret, and is erased after
    /// use.
    pub fn recipient(key: &NodeKey, rng: Rng) -> Self {
        Self {
            state: State::AwaitAuth(Box::new(AwaitAuth { key: key.clone(), rng })),
            transmit: None,
        }
    }

    /// The bytes to write next, if there are any.
    pub const fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmit.take()
    }

    /// Takes the remote's packet from the front of `input` once it is there as a whole, and
    /// leaves what follows it: those are frames for the session.
    ///
    /// The packet's size is judged as soon as its two bytes are there; keep at most
    /// [`MAX_PACKET_SIZE`] + 2 bytes in `input`.
    ///
    /// # Errors
    /// [`HandshakeError::Rejected`], whatever is wrong.
    pub fn handle_input(self, input: &mut BytesMut) -> Result<Self, HandshakeError> {
        let minimum = match &self.state {
            State::AwaitAck(_) => MIN_ACK_SIZE,
            State::AwaitAuth(_) => MIN_AUTH_SIZE,
            State::Complete(_) => return Ok(self),
        };
        let Some(packet) = take_packet(input, minimum)? else {
            return Ok(self);
        };
        match self.state {
            State::AwaitAck(state) => state.receive(packet),
            State::AwaitAuth(state) => state.receive(packet),
            State::Complete(_) => None,
        }
        .ok_or(HandshakeError::Rejected)
    }

    /// The session, where the handshake is complete and nothing is left to transmit.
    ///
    /// # Errors
    /// The handshake itself, where it is not complete.
    pub fn into_session(self) -> Result<Session, Self> {
        match self {
            Self { state: State::Complete(session), transmit: None } => Ok(*session),
            other => Err(other),
        }
    }
}

impl AwaitAck {
    fn receive(self, packet: BytesMut) -> Option<Handshake> {
        let mut body = packet.clone();
        let ack = Ack::decode(packet::open(&self.key, &mut body)?)?;
        let remote_ephemeral = PublicKey::from_bytes(&ack.ephemeral_key).ok()?;
        let transcript = Transcript {
            auth: &self.auth,
            initiator_nonce: &self.nonce,
            ack: &packet,
            recipient_nonce: &ack.nonce,
        };
        Some(complete(
            Role::Initiator,
            &self.ephemeral,
            self.remote,
            &remote_ephemeral,
            &transcript,
        ))
    }
}

impl AwaitAuth {
    fn receive(self, packet: BytesMut) -> Option<Handshake> {
        let Self { key, mut rng } = self;
        let mut body = packet.clone();
        let auth = Auth::decode(packet::open(&key, &mut body)?)?;
        let remote = PublicKey::from_bytes(&auth.public_key).ok()?;
        let digest = signed(&key, &remote, &auth.nonce);
        let remote_ephemeral = PublicKey::recover(&digest, &auth.signature).ok()?;

        let ephemeral = key.ephemeral(&mut rng);
        let nonce = draw_nonce(&mut rng);
        let ack =
            Ack { ephemeral_key: *ephemeral.public_key().as_bytes(), nonce, version: VERSION };
        let ack = Bytes::from(packet::seal(&remote, &key, ack.encode(), &mut rng));
        let transcript = Transcript {
            auth: &packet,
            initiator_nonce: &auth.nonce,
            ack: &ack,
            recipient_nonce: &nonce,
        };
        let mut handshake =
            complete(Role::Recipient, &ephemeral, remote, &remote_ephemeral, &transcript);
        handshake.transmit = Some(ack);
        Some(handshake)
    }
}

fn complete(
    role: Role,
    ephemeral: &NodeKey,
    remote: PublicKey,
    remote_ephemeral: &PublicKey,
    transcript: &Transcript<'_>,
) -> Handshake {
    let secrets = Secrets::derive(role, ephemeral, remote_ephemeral, transcript, Backend::detect());
    let (auth, ack) = (length(transcript.auth), length(transcript.ack));
    let traffic = match role {
        Role::Initiator => Traffic { ingress: ack, egress: auth },
        Role::Recipient => Traffic { ingress: auth, egress: ack },
    };
    let session = Session { remote, codec: FrameCodec::new(&secrets), traffic };
    Handshake { state: State::Complete(Box::new(session)), transmit: None }
}

/// Takes a packet with its size prefix from the front of `input`, or nothing as long as it is
/// not there as a whole.
fn take_packet(input: &mut BytesMut, minimum: usize) -> Result<Option<BytesMut>, HandshakeError> {
    let Some(prefix) = input.first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let size = usize::from(u16::from_be_bytes(*prefix));
    if !(minimum..=MAX_PACKET_SIZE).contains(&size) {
        return Err(HandshakeError::Rejected);
    }
    let total = size.saturating_add(PREFIX);
    Ok((input.len() >= total).then(|| input.split_to(total)))
}

/// What the initiator's ephemeral key signs: only the two sides can know it.
fn signed(ours: &NodeKey, theirs: &PublicKey, nonce: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(xor(&ours.ecdh(theirs), nonce))
}

fn draw_nonce(rng: &mut Rng) -> [u8; 32] {
    let mut nonce = [0; 32];
    rng.fill(&mut nonce);
    nonce
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::AwaitAck(_) => "Handshake(waits for the ack)",
            State::AwaitAuth(_) => "Handshake(waits for the auth)",
            State::Complete(_) => "Handshake(complete)",
        })
    }
}

/// What a complete handshake gives: who the remote has to be, and the codec of the frames.
#[derive(Debug)]
pub struct Session {
    remote: PublicKey,
    codec: FrameCodec,
    traffic: Traffic,
}

impl Session {
    /// The remote's public key.
    ///
    /// The first frame that opens proves that the remote holds it, and not the handshake alone:
    /// anybody can make an answer, and repeat a first packet.
    pub const fn remote(&self) -> PublicKey {
        self.remote
    }

    /// The bytes that the handshake took.
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The codec, which starts in the state before Hello.
    pub fn into_codec(self) -> FrameCodec {
        self.codec
    }
}
