//! The one message of STUN that a node needs: what is my address? (RFC 8489, Binding)

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use devp2p_core::Fault;

const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// The attributes from here on may be ignored by those who do not know them (§14).
const COMPREHENSION_OPTIONAL: u16 = 0x8000;

/// Those below that a success may have and a client without credentials need not look into:
/// MAPPED-ADDRESS, which is for the clients of RFC 3489, and what proves credentials.
const NOT_NEEDED: [u16; 4] = [0x0001, 0x0006, 0x0008, 0x001c];

/// The longest response that is read: a server that does not know the path's MTU may send no more
/// (§6.1).
pub const MAX_RESPONSE: usize = 1_280;

/// What makes a response the one to a certain request: 96 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionId(pub [u8; 12]);

/// The datagram that asks a server which endpoint it came from.
pub fn binding_request(id: TransactionId) -> Vec<u8> {
    [BINDING_REQUEST.as_slice(), &[0, 0], &MAGIC_COOKIE, &id.0].concat()
}

/// The endpoint that a server saw the request with this id come from.
///
/// # Errors
/// When the datagram is no response to this request, or does not say.
pub fn read_binding_response(id: TransactionId, datagram: &[u8]) -> Result<SocketAddr, StunError> {
    let mut rest = datagram;
    let kind: [u8; 2] = take(&mut rest)?;
    let length = u16::from_be_bytes(take(&mut rest)?);
    let cookie: [u8; 4] = take(&mut rest)?;
    let transaction: [u8; 12] = take(&mut rest)?;
    if cookie != MAGIC_COOKIE || usize::from(length) != rest.len() || !length.is_multiple_of(4) {
        return Err(StunError::Malformed);
    }
    if transaction != id.0 {
        return Err(StunError::Transaction);
    }
    match kind {
        BINDING_SUCCESS => {}
        BINDING_ERROR => return Err(StunError::Refused),
        _ => return Err(StunError::Malformed),
    }
    let mut seen = None;
    while !rest.is_empty() {
        let kind = u16::from_be_bytes(take(&mut rest)?);
        let length = usize::from(u16::from_be_bytes(take(&mut rest)?));
        // The padding to a multiple of four is not counted.
        let padded = length.next_multiple_of(4);
        let (value, after) = rest.split_at_checked(padded).ok_or(StunError::Malformed)?;
        let value = value.get(..length).ok_or(StunError::Malformed)?;
        rest = after;
        match kind {
            // The first counts (§14).
            XOR_MAPPED_ADDRESS if seen.is_none() => seen = Some(xor_mapped_address(id, value)?),
            XOR_MAPPED_ADDRESS | COMPREHENSION_OPTIONAL.. => {}
            kind if NOT_NEEDED.contains(&kind) => {}
            _ => return Err(StunError::Malformed),
        }
    }
    seen.ok_or(StunError::NoAddress)
}

/// §14.2
fn xor_mapped_address(id: TransactionId, mut value: &[u8]) -> Result<SocketAddr, StunError> {
    let [_, family] = take(&mut value)?;
    let [high, low] = MAGIC_COOKIE.first_chunk().copied().unwrap_or_default();
    let port = u16::from_be_bytes(take(&mut value)?) ^ u16::from_be_bytes([high, low]);
    let ip = match family {
        1 => {
            let bits = u32::from_be_bytes(whole(value)?) ^ u32::from_be_bytes(MAGIC_COOKIE);
            IpAddr::V4(Ipv4Addr::from_bits(bits))
        }
        2 => {
            let [a, b, c, d] = MAGIC_COOKIE;
            let [e, f, g, h, i, j, k, l, m, n, o, p] = id.0;
            let mask = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p];
            let bits = u128::from_be_bytes(whole(value)?) ^ u128::from_be_bytes(mask);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        _ => return Err(StunError::Malformed),
    };
    Ok(SocketAddr::new(ip, port))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], StunError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(StunError::Malformed)?;
    *bytes = rest;
    Ok(*head)
}

fn whole<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StunError> {
    bytes.try_into().map_err(|_| StunError::Malformed)
}

/// Why a datagram tells no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StunError {
    /// It is no response as the specification has them.
    Malformed,
    /// It is a success that tells no endpoint.
    NoAddress,
    /// The server refuses.
    Refused,
    /// It is the response to another request.
    Transaction,
}

impl StunError {
    /// Whose fault it is.
    pub const fn fault(self) -> Fault {
        match self {
            Self::Malformed | Self::NoAddress | Self::Refused => Fault::Remote,
            // A late one, or somebody else's.
            Self::Transaction => Fault::Network,
        }
    }
}

impl fmt::Display for StunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "no well-formed STUN response",
            Self::NoAddress => "a STUN response without an address",
            Self::Refused => "the STUN server refused",
            Self::Transaction => "a STUN response to another request",
        })
    }
}

impl std::error::Error for StunError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 5769 §2.2 and §2.3, which RFC 8489 keeps: sample responses with software name, endpoint,
    /// integrity and fingerprint.
    const ID: TransactionId = TransactionId(*b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae");
    const V4: &[u8] = b"\x01\x01\x00\x3c\x21\x12\xa4\x42\
        \xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
        \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
        \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\
        \x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\x80\x28\x00\x04\xc0\x7d\x4c\x96";
    const V6: &[u8] = b"\x01\x01\x00\x48\x21\x12\xa4\x42\
        \xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
        \x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\
        \xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9\
        \x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\
        \x82\x92\xc2\x75\xbf\xe3\xed\x41\x80\x28\x00\x04\xc8\xfb\x0b\x4c";

    /// A success with these attributes.
    fn success(attributes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(attributes.len()).unwrap().to_be_bytes();
        [&BINDING_SUCCESS[..], &length, &MAGIC_COOKIE, &ID.0, attributes].concat()
    }

    #[test]
    fn the_samples_of_the_specification_are_read() {
        let v4 = "192.0.2.1:32853".parse().unwrap();
        assert_eq!(read_binding_response(ID, V4), Ok(v4));
        let v6 = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        assert_eq!(read_binding_response(ID, V6), Ok(v6));
    }

    #[test]
    fn a_request_is_a_header_alone() {
        let request = binding_request(ID);
        assert_eq!(request[..8], [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
        assert_eq!(request[8..], ID.0);
        assert_eq!(read_binding_response(ID, &request), Err(StunError::Malformed));
    }

    #[test]
    fn what_is_no_response_to_the_request_is_refused() {
        let other = TransactionId([0; 12]);
        assert_eq!(read_binding_response(other, V4), Err(StunError::Transaction));
        assert_eq!(read_binding_response(ID, &success(&[])), Err(StunError::NoAddress));
        let mut refusal = success(&[]);
        refusal[..2].copy_from_slice(&BINDING_ERROR);
        assert_eq!(read_binding_response(ID, &refusal), Err(StunError::Refused));
        for malformed in [
            // The oldest STUN had no cookie; a byte too few or too many; an attribute that is
            // longer than the message; one that must be understood; an unknown family; too short.
            &[&V4[..4], &[0; 4], &V4[8..]].concat(),
            &V4[..V4.len() - 1],
            &[V4, &[0]].concat(),
            &success(&[0, 0x20, 0, 12, 0, 1, 0, 0, 0, 0, 0, 0]),
            &success(&[0, 0x03, 0, 0]),
            &success(&[0, 0x20, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0]),
            &success(&[0, 0x20, 0, 4, 0, 1, 0, 0]),
            &success(&[0, 0x20, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(read_binding_response(ID, malformed), Err(StunError::Malformed));
        }
        for end in 0..V6.len() {
            read_binding_response(ID, &V6[..end]).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(
            attributes in prop::collection::vec(any::<u8>(), 0..64),
            noise in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = read_binding_response(ID, &success(&attributes));
            prop_assert!(read_binding_response(ID, &noise).is_err());
        }

        #[test]
        fn one_changed_byte_never_yields_another_transaction(at in 8..20_usize, bits in 1..=255_u8) {
            let mut changed = V4.to_vec();
            changed[at] ^= bits;
            let read = read_binding_response(ID, &changed);
            prop_assert_eq!(read, Err(StunError::Transaction));
        }
    }
}
