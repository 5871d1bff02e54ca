//! The frames of an established session, in two independent halves.
//!
//! A frame is `header (16) ‖ tag (16) ‖ body, padded to 16 ‖ tag (16)`. The header holds the
//! body's size in 24 bits and the constant `c28080`; the body is the RLP of the message id and
//! then the payload. Header and body go through one AES-256-CTR key stream for the life of the
//! connection, and through one running Keccak-256 for the tags.
//!
//! Source: [RLPx, framing](https://github.com/ethereum/devp2p/blob/master/rlpx.md#framing),
//! [EIP-706](https://eips.ethereum.org/EIPS/eip-706) for compression.

mod egress;
mod ingress;
mod mac;
mod message_id;

pub use egress::Egress;
#[cfg(feature = "tokio")]
pub(crate) use ingress::COPY_BELOW;
pub use ingress::Ingress;

use std::fmt;

use aes::Aes256Enc;
use bytes::BytesMut;
use ctr::{
    Ctr64BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use devp2p_core::{ConnectionError, Fault, Message};

use crate::{MAX_EARLY_MESSAGE_SIZE, MAX_FRAME_SIZE, Secrets, keccak::Backend, snappy};

/// The bytes of a header with its tag.
pub const HEADER_SIZE: usize = 32;

/// The bytes of a tag.
pub const TAG_SIZE: usize = 16;

/// The unit of the cipher, to which bodies are padded.
const BLOCK: usize = 16;

/// What follows the size in a header: an RLP list of two zeros, which nobody reads.
const HEADER_DATA: [u8; 3] = [0xc2, 0x80, 0x80];

/// Both halves of a connection's frames.
///
/// Plain data without IO: [`seal`](FrameCodec::seal) appends frames to a buffer,
/// [`open`](FrameCodec::open) takes them from one. Before [`established`](FrameCodec::established)
/// nothing is compressed and no message may be larger than 2 KiB.
#[derive(Debug)]
pub struct FrameCodec {
    /// The half that seals.
    pub egress: Egress,
    /// The half that opens.
    pub ingress: Ingress,
}

impl FrameCodec {
    /// A codec at the first frame of a connection.
    pub fn new(secrets: &Secrets) -> Self {
        Self { egress: Egress::new(secrets), ingress: Ingress::new(secrets) }
    }

    /// See [`Egress::seal`].
    ///
    /// # Errors
    /// As there.
    pub fn seal(&mut self, id: u64, payload: &[u8], out: &mut BytesMut) -> Result<(), SealError> {
        self.egress.seal(id, payload, out)
    }

    /// See [`Ingress::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(&mut self, input: &mut BytesMut) -> Result<Option<Message>, OpenError> {
        self.ingress.open(input)
    }

    /// Both Hellos have been exchanged: messages of up to `max_message_size` bytes are allowed in
    /// both directions, and compressed where `snappy` says so. Those of the base protocol, with
    /// ids below 0x10, stay at 2 KiB.
    pub fn established(&mut self, max_message_size: usize, snappy: bool) {
        self.egress.established(max_message_size, snappy);
        self.ingress.established(max_message_size, snappy);
    }

    /// The two halves, which need nothing of each other.
    pub fn split(self) -> (Egress, Ingress) {
        (self.egress, self.ingress)
    }

    /// Which kernel computes the tags.
    pub const fn backend(&self) -> Backend {
        self.egress.backend()
    }
}

/// Where the ids of shared capabilities begin. What is below is the base protocol's: small, and
/// mostly for nobody, so that there is no use in decompressing much of it.
const FIRST_CAPABILITY_ID: u64 = 0x10;

/// How large messages and frames may be.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// A payload, uncompressed.
    message: usize,
    /// A body: the id and the payload as it is sent.
    frame: usize,
}

impl Limits {
    const EARLY: Self = Self {
        message: MAX_EARLY_MESSAGE_SIZE,
        frame: MAX_EARLY_MESSAGE_SIZE + message_id::MAX_SIZE,
    };

    fn established(max_message_size: usize, snappy: bool) -> Self {
        let message = max_message_size.min(MAX_FRAME_SIZE);
        let payload = if snappy { snappy::max_compressed_size(message) } else { message };
        let frame = payload.saturating_add(message_id::MAX_SIZE).min(MAX_FRAME_SIZE);
        Self { message, frame }
    }

    /// The largest payload of a message with this id.
    fn message_with(&self, id: u64) -> usize {
        if id < FIRST_CAPABILITY_ID {
            self.message.min(MAX_EARLY_MESSAGE_SIZE)
        } else {
            self.message
        }
    }
}

/// One direction's key stream. Frames are whole blocks, so no call splits a block.
struct FrameCipher(Ctr64BE<Aes256Enc>);

impl FrameCipher {
    fn new(secrets: &Secrets) -> Self {
        // The specification counts in 128 bits from zero; 64 of them are never used up.
        Self(Ctr64BE::new((&*secrets.aes).into(), &[0; BLOCK].into()))
    }

    fn apply(&mut self, blocks: &mut [u8]) {
        self.0.apply_keystream(blocks);
    }
}

/// The size of a body with its padding.
const fn padded(size: usize) -> usize {
    // Sizes are at most 2^24, far from where this saturates.
    size.saturating_add(BLOCK - 1) & !(BLOCK - 1)
}

/// Why a message was not sealed. Nothing was written, and the next message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// A compressed payload was given, but the connection does not compress.
    NotCompressing,
    /// The message is above the limit in force, in bytes.
    TooLarge {
        /// The message's size.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

impl SealError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NotCompressing | Self::TooLarge { .. } => Fault::Local,
        }
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCompressing => f.write_str("the connection does not compress"),
            Self::TooLarge { size, limit } => {
                write!(f, "a message of {size} bytes is above the limit of {limit}")
            }
        }
    }
}

impl std::error::Error for SealError {}

impl From<SealError> for ConnectionError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::TooLarge { size, limit } => Self::MessageTooLarge { size, limit },
            SealError::NotCompressing => Self::Other(Box::new(error)),
        }
    }
}

/// Why a frame was refused. The direction is lost: the two sides no longer agree on its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The body is not what the remote sent.
    BodyTag,
    /// The frame is above the limit in force.
    FrameTooLarge,
    /// The header is not what the remote sent.
    HeaderTag,
    /// The message id is missing or not in its shortest form.
    MessageId,
    /// The payload is above the limit in force, or declares that it is.
    MessageTooLarge,
    /// The payload is not valid snappy.
    Snappy,
}

impl OpenError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::BodyTag
            | Self::FrameTooLarge
            | Self::HeaderTag
            | Self::MessageId
            | Self::MessageTooLarge
            | Self::Snappy => Fault::Remote,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::BodyTag => "the frame's body has a wrong tag",
            Self::FrameTooLarge => "the frame is too large",
            Self::HeaderTag => "the frame's header has a wrong tag",
            Self::MessageId => "the message id is malformed",
            Self::MessageTooLarge => "the message is too large",
            Self::Snappy => "the payload is not valid snappy",
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for OpenError {}

impl From<OpenError> for ConnectionError {
    fn from(error: OpenError) -> Self {
        Self::Malformed(error.as_str())
    }
}
