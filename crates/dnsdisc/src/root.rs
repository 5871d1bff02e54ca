use std::{fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use devp2p_core::{Fault, NodeKey, PublicKey};
use sha3::{Digest as _, Keccak256};

use crate::EntryName;

/// The root of a tree, signed: where its records and its links begin, and its sequence number.
///
/// Reading one checks no signature: [`verify`](Self::verify) does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    content: RootContent,
    signature: [u8; 65],
}

/// What the signature of a [`Root`] signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RootContent {
    pub(crate) records: EntryName,
    pub(crate) links: EntryName,
    pub(crate) seq: u64,
}

const PREFIX: &str = "enrtree-root:v1 ";

/// What the text of a root of any version begins with.
pub(crate) const ANY_PREFIX: &str = "enrtree-root:";

impl Root {
    /// Where the subtree of records begins.
    pub const fn records(&self) -> &EntryName {
        &self.content.records
    }

    /// Where the subtree of links begins.
    pub const fn links(&self) -> &EntryName {
        &self.content.links
    }

    /// The sequence number, which grows with every change of the tree.
    pub const fn seq(&self) -> u64 {
        self.content.seq
    }

    /// The signature in URL-safe base64.
    pub fn signature(&self) -> String {
        BASE64URL_NOPAD.encode(&self.signature)
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`RootError::Signature`] where this key did not sign it.
    pub fn verify(&self, public_key: &PublicKey) -> Result<(), RootError> {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.signature.split_at(64).0);
        public_key.verify(&self.content.digest(), &signature).map_err(|_| RootError::Signature)
    }
}

impl RootContent {
    pub(crate) fn sign(self, key: &NodeKey) -> Root {
        Root { signature: key.sign_recoverable(&self.digest()), content: self }
    }

    /// With a signature made elsewhere, which is not checked.
    pub(crate) fn with_signature(self, text: &str) -> Result<Root, RootError> {
        Ok(Root { signature: decode_signature(text)?, content: self })
    }

    fn digest(&self) -> [u8; 32] {
        Keccak256::digest(self.to_string()).into()
    }
}

impl fmt::Display for RootContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}e={} l={} seq={}", self.records, self.links, self.seq)
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sig={}", self.content, self.signature())
    }
}

impl FromStr for Root {
    type Err = RootError;

    fn from_str(text: &str) -> Result<Self, RootError> {
        let mut fields = text.strip_prefix(PREFIX).ok_or(RootError::Version)?.split(' ');
        let mut field = |key: &str| {
            fields.next().and_then(|field| field.strip_prefix(key)).ok_or(RootError::Syntax)
        };
        let (records, links) = (field("e=")?, field("l=")?);
        let (seq, signature) = (field("seq=")?, field("sig=")?);
        if fields.next().is_some() {
            return Err(RootError::Syntax);
        }
        let name = |text: &str| text.parse().map_err(|_| RootError::Name);
        let content =
            RootContent { records: name(records)?, links: name(links)?, seq: number(seq)? };
        content.with_signature(signature)
    }
}

/// A decimal number as it is written back: no sign, no zero in front.
fn number(text: &str) -> Result<u64, RootError> {
    let number: u64 = text.parse().map_err(|_| RootError::Seq)?;
    if number.to_string() == text { Ok(number) } else { Err(RootError::Seq) }
}

fn decode_signature(text: &str) -> Result<[u8; 65], RootError> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| RootError::SignatureText)?;
    bytes.try_into().map_err(|_| RootError::SignatureText)
}

/// Why a text is not the root of a tree, or not of the tree that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootError {
    /// The name of a subtree is not one.
    Name,
    /// The sequence number is not a decimal number of 64 bits.
    Seq,
    /// The signature is not by the key of the tree.
    Signature,
    /// The signature is not 65 bytes in URL-safe base64 without padding.
    SignatureText,
    /// There are other fields than `e`, `l`, `seq` and `sig`, or not in this order.
    Syntax,
    /// It does not begin with `enrtree-root:v1`.
    Version,
}

impl RootError {
    /// Whose fault it is: always that of whoever published the root.
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the root's subtree has no valid name",
            Self::Seq => "the root's sequence number is not a number of 64 bits",
            Self::Signature => "the root is not signed by the key of the tree",
            Self::SignatureText => "the root's signature is not 65 bytes in base64",
            Self::Syntax => "the root does not have the fields e, l, seq and sig",
            Self::Version => "the root does not begin with enrtree-root:v1",
        })
    }
}

impl std::error::Error for RootError {}
