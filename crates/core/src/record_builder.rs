use std::{collections::BTreeMap, net::IpAddr};

use bytes::Bytes;
use rlp::RlpStream;

use crate::{NodeKey, Record, RecordError, RlpItem, record::content_digest};

/// A [`Record`] in the making; the entries `id` and `secp256k1` come from the signing key.
///
/// ```
/// # use devp2p_core::{NodeKey, Record};
/// let key = NodeKey::from_bytes(&[7; 32])?;
/// let record = Record::builder()
///     .seq(3)
///     .ip("192.0.2.1".parse()?)
///     .tcp(30303)
///     .udp(30303)
///     .entry("snap", [0xc0].as_slice())
///     .sign(&key)?;
/// assert_eq!(record.to_string().parse::<Record>()?, record);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RecordBuilder {
    seq: u64,
    entries: BTreeMap<Bytes, Bytes>,
}

impl RecordBuilder {
    /// The sequence number; 0 where it is not set.
    #[must_use]
    pub fn seq(mut self, seq: u64) -> Self {
        self.seq = seq;
        self
    }

    /// Sets `ip` or `ip6`, by the family of the address; an IPv4-mapped one is IPv4.
    #[must_use]
    pub fn ip(self, ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.string("ip", &ip.octets()),
            IpAddr::V6(ip) => self.string("ip6", &ip.octets()),
        }
    }

    /// Sets `tcp`.
    #[must_use]
    pub fn tcp(self, port: u16) -> Self {
        self.port("tcp", port)
    }

    /// Sets `tcp6`, needed where it differs from `tcp`.
    #[must_use]
    pub fn tcp6(self, port: u16) -> Self {
        self.port("tcp6", port)
    }

    /// Sets `udp`.
    #[must_use]
    pub fn udp(self, port: u16) -> Self {
        self.port("udp", port)
    }

    /// Sets `udp6`, needed where it differs from `udp`.
    #[must_use]
    pub fn udp6(self, port: u16) -> Self {
        self.port("udp6", port)
    }

    /// Sets any entry; `value` is RLP with its header.
    #[must_use]
    pub fn entry(mut self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Self {
        self.entries.insert(Bytes::copy_from_slice(key.as_ref()), value.into());
        self
    }

    /// Signs the record.
    ///
    /// # Errors
    /// [`RecordError::NoRoom`], [`RecordError::Value`] where a value is not one RLP item, and
    /// [`RecordError::ReservedKey`] where `id` or `secp256k1` was set.
    pub fn sign(mut self, key: &NodeKey) -> Result<Record, RecordError> {
        if self.entries.contains_key(&b"id"[..]) || self.entries.contains_key(&b"secp256k1"[..]) {
            return Err(RecordError::ReservedKey);
        }
        if self.entries.values().any(|value| RlpItem::whole(value).is_none()) {
            return Err(RecordError::Value);
        }
        self = self.string("id", b"v4").string("secp256k1", &key.public_key().to_compressed());

        let mut content = RlpStream::new();
        content.append(&self.seq);
        for (key, value) in &self.entries {
            content.append(&key.as_ref()).append_raw(value, 1);
        }
        let content = content.out();
        let signature = key.sign(&content_digest(&content));
        let mut record = RlpStream::new();
        record
            .begin_unbounded_list()
            .append(&signature.as_slice())
            .append_raw(&content, 1)
            .finalize_unbounded_list();
        let raw = record.out().freeze();
        if raw.len() > Record::MAX_SIZE {
            return Err(RecordError::NoRoom { size: raw.len() });
        }
        Record::decode_owned(raw)
    }

    pub(crate) fn port(self, key: &str, port: u16) -> Self {
        self.entry(key, rlp::encode(&port).freeze())
    }

    fn string(self, key: &str, value: &[u8]) -> Self {
        self.entry(key, rlp::encode(&value).freeze())
    }
}
