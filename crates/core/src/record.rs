use std::{
    fmt,
    hash::{Hash, Hasher},
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use sha3::{Digest as _, Keccak256};

use crate::{Fault, KeyError, NodeId, PublicKey, RecordBuilder, RlpItem};

/// A node record (EIP-778): what a node says of itself, signed by its key, scheme "v4".
///
/// Every record that exists here has been verified: decoding checks the form and the signature,
/// and building signs. The bytes are kept as they came, so that passing a record on changes none
/// of them. Clones are cheap.
///
/// The form is read strictly: canonical RLP, keys sorted and unique, at most
/// [`Record::MAX_SIZE`] bytes and nothing after them. The values are read as geth reads them: one
/// that is not what its key says (a `udp` of 70000 or with a leading zero, an `ip` of 5 bytes)
/// leaves the record valid and its getter empty. A signature with a high S is refused, which
/// leaves each content one signature per nonce.
///
/// The text form is `enr:` and URL-safe base64 without padding; both are required.
///
/// ```
/// # use devp2p_core::Record;
/// let record: Record = "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonr\
///     kTfj499SZuOh8R33Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_Q\
///     AdpzBQA8yWM0xOIN1ZHCCdl8".parse()?;
/// assert_eq!(record.seq(), 1);
/// assert_eq!(record.ip(), Some([127, 0, 0, 1].into()));
/// assert_eq!(record.udp(), Some(30303));
/// # Ok::<(), devp2p_core::RecordError>(())
/// ```
#[derive(Clone)]
pub struct Record(Arc<Inner>);

struct Inner {
    raw: Bytes,
    /// Where the entries begin in `raw`.
    entries: usize,
    seq: u64,
    public_key: PublicKey,
    id: NodeId,
}

/// The text form's prefix.
const TEXT_PREFIX: &str = "enr:";

/// The length of `r` and `s`.
const SIGNATURE_SIZE: usize = 64;

impl Record {
    /// The largest encoded record, in bytes (EIP-778).
    pub const MAX_SIZE: usize = 300;

    /// Starts a new record.
    pub fn builder() -> RecordBuilder {
        RecordBuilder::default()
    }

    /// Reads and verifies a record.
    ///
    /// # Errors
    /// The first rule of EIP-778 that the bytes break.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > Self::MAX_SIZE {
            return Err(RecordError::TooLarge { size: bytes.len() });
        }
        Self::decode_owned(Bytes::copy_from_slice(bytes))
    }

    /// The bytes are at most as many as allowed.
    pub(crate) fn decode_owned(raw: Bytes) -> Result<Self, RecordError> {
        let (outer, rest) = RlpItem::split(&raw).ok_or(RecordError::Malformed)?;
        if !rest.is_empty() {
            return Err(RecordError::TrailingBytes);
        }
        let items = outer.list().ok_or(RecordError::Malformed)?;
        let (signature, content) = RlpItem::split(items).ok_or(RecordError::Malformed)?;
        let signature = signature.string().ok_or(RecordError::Malformed)?;
        let (seq, entries) = RlpItem::split(content).ok_or(RecordError::Malformed)?;
        let seq = seq.uint().ok_or(RecordError::Seq)?;

        let mut scheme = None;
        let mut public_key = None;
        let mut last_key: Option<&[u8]> = None;
        let mut rest = entries;
        while !rest.is_empty() {
            let (key, after) = RlpItem::split(rest).ok_or(RecordError::Malformed)?;
            let key = key.string().ok_or(RecordError::Malformed)?;
            let (value, after) = RlpItem::split(after).ok_or(RecordError::Malformed)?;
            if last_key.is_some_and(|last| last >= key) {
                return Err(RecordError::KeyOrder);
            }
            match key {
                b"id" => scheme = value.string(),
                b"secp256k1" => public_key = value.string(),
                _ => {}
            }
            last_key = Some(key);
            rest = after;
        }

        if scheme != Some(b"v4") {
            return Err(RecordError::Scheme);
        }
        let public_key = PublicKey::from_compressed(public_key.ok_or(RecordError::NoPublicKey)?)
            .map_err(RecordError::PublicKey)?;
        let signature: &[u8; SIGNATURE_SIZE] =
            signature.try_into().map_err(|_| RecordError::Signature)?;
        public_key
            .verify(&content_digest(content), signature)
            .map_err(|_| RecordError::Signature)?;
        let entries = raw.len().saturating_sub(entries.len());
        let id = NodeId::from(public_key);
        Ok(Self(Arc::new(Inner { raw, entries, seq, public_key, id })))
    }

    /// The encoded record, byte for byte as it was received or built.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.raw
    }

    /// As [`Record::as_bytes`], sharing the buffer.
    pub fn to_bytes(&self) -> Bytes {
        self.0.raw.clone()
    }

    /// The sequence number: of two records of one node the one with the higher number is newer.
    pub fn seq(&self) -> u64 {
        self.0.seq
    }

    /// The id of the node that signed the record.
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// The key of the node that signed the record; the entry `secp256k1`.
    pub fn public_key(&self) -> PublicKey {
        self.0.public_key
    }

    /// The entry `ip`.
    pub fn ip(&self) -> Option<Ipv4Addr> {
        <[u8; 4]>::try_from(self.string(b"ip")?).ok().map(Ipv4Addr::from)
    }

    /// The entry `ip6`.
    pub fn ip6(&self) -> Option<Ipv6Addr> {
        <[u8; 16]>::try_from(self.string(b"ip6")?).ok().map(Ipv6Addr::from)
    }

    /// The entry `tcp`, where it is a port other than 0.
    pub fn tcp(&self) -> Option<u16> {
        self.port(b"tcp")
    }

    /// The TCP port for [`Record::ip6`]: the entry `tcp6`, or else `tcp`.
    pub fn tcp6(&self) -> Option<u16> {
        self.port(b"tcp6").or_else(|| self.tcp())
    }

    /// The entry `udp`, where it is a port other than 0.
    pub fn udp(&self) -> Option<u16> {
        self.port(b"udp")
    }

    /// The UDP port for [`Record::ip6`]: the entry `udp6`, or else `udp`.
    pub fn udp6(&self) -> Option<u16> {
        self.port(b"udp6").or_else(|| self.udp())
    }

    /// The value of an entry, as RLP with its header: `eth`, say, is a list of lists.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        let key = key.as_ref();
        self.entries().find_map(|(found, value)| (found == key).then_some(value))
    }

    /// All entries in order, each a key and a value, the value as RLP with its header.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.0.raw.get(self.0.entries..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (key, after) = RlpItem::split(rest)?;
            let (value, after) = RlpItem::split(after)?;
            rest = after;
            Some((key.payload(), value.raw()))
        })
    }

    fn string(&self, key: &[u8]) -> Option<&[u8]> {
        RlpItem::whole(self.get(key)?)?.string()
    }

    fn port(&self, key: &[u8]) -> Option<u16> {
        let port = RlpItem::whole(self.get(key)?)?.uint()?;
        u16::try_from(port).ok().filter(|&port| port != 0)
    }
}

/// What a record's signature signs: the hash of the list of `seq` and the entries.
pub(crate) fn content_digest(content: &[u8]) -> [u8; 32] {
    let mut list = rlp::RlpStream::new();
    list.begin_unbounded_list().append_raw(content, 1).finalize_unbounded_list();
    Keccak256::digest(list.out()).into()
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.0.raw == other.0.raw
    }
}

impl Eq for Record {}

impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.raw.hash(state);
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TEXT_PREFIX}{}", BASE64URL_NOPAD.encode_display(self.as_bytes()))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({:#}, seq {})", self.id(), self.seq())
    }
}

impl FromStr for Record {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let digits = text.strip_prefix(TEXT_PREFIX).ok_or(RecordError::MissingPrefix)?.as_bytes();
        // Three bytes to four digits. Before decoding, so that a long text costs nothing.
        let size = digits.len().saturating_mul(3) / 4;
        if size > Self::MAX_SIZE {
            return Err(RecordError::TooLarge { size });
        }
        let raw = BASE64URL_NOPAD.decode(digits).map_err(|_| RecordError::Base64)?;
        Self::decode_owned(raw.into())
    }
}

/// Why bytes or a text are not a record, or a record cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// The text is not URL-safe base64 without padding.
    Base64,
    /// The keys are not sorted, or one occurs twice.
    KeyOrder,
    /// The bytes are not a list of a signature, a number, and pairs of key and value.
    Malformed,
    /// The text does not begin with `enr:`.
    MissingPrefix,
    /// Our own record has no higher sequence number left.
    NoHigherSeq,
    /// The entry `secp256k1` is missing or not a string.
    NoPublicKey,
    /// The entry `secp256k1` is not a compressed public key.
    PublicKey(KeyError),
    /// The key of an entry belongs to the record itself and cannot be set as an entry.
    ReservedKey,
    /// The identity scheme is missing or another than "v4".
    Scheme,
    /// The entries of our own record do not fit into [`Record::MAX_SIZE`].
    NoRoom {
        /// The size that the record would have, in bytes.
        size: usize,
    },
    /// The sequence number is not an integer of 64 bits.
    Seq,
    /// The signature is malformed, has a high S, or is not by the record's key.
    Signature,
    /// The record that was read is larger than [`Record::MAX_SIZE`].
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// Bytes follow the record.
    TrailingBytes,
    /// The value of an entry is not one RLP item.
    Value,
}

impl RecordError {
    /// Whose fault it is: ours where a record of our own cannot be built, else of the one whose
    /// record was read.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NoHigherSeq | Self::NoRoom { .. } | Self::ReservedKey | Self::Value => {
                Fault::Local
            }
            _ => Fault::Remote,
        }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base64 => f.write_str("the record's text is not url-safe base64"),
            Self::KeyOrder => f.write_str("the record's keys are not sorted and unique"),
            Self::Malformed => f.write_str("the record is not a canonical rlp list"),
            Self::MissingPrefix => f.write_str("the record's text does not begin with enr:"),
            Self::NoHigherSeq => f.write_str("there is no higher sequence number left"),
            Self::NoPublicKey => f.write_str("the record has no public key"),
            Self::NoRoom { size } => {
                write!(
                    f,
                    "a record of {size} bytes would be above the limit of {}",
                    Record::MAX_SIZE
                )
            }
            Self::PublicKey(error) => write!(f, "the record's public key is bad: {error}"),
            Self::ReservedKey => f.write_str("the record itself sets this entry"),
            Self::Scheme => f.write_str("the record's identity scheme is not v4"),
            Self::Seq => f.write_str("the record's sequence number is out of range"),
            Self::Signature => f.write_str("the record's signature is bad"),
            Self::TooLarge { size } => {
                write!(f, "a record of {size} bytes is above the limit of {}", Record::MAX_SIZE)
            }
            Self::TrailingBytes => f.write_str("bytes follow the record"),
            Self::Value => f.write_str("the entry's value is not one rlp item"),
        }
    }
}

impl std::error::Error for RecordError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::PublicKey(error) => Some(error),
            _ => None,
        }
    }
}
