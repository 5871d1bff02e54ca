//! Reading messages.

use std::net::IpAddr;

use bytes::Bytes;
use devp2p_core::RlpItem;

use super::{
    Body, FindNode, MAX_DISTANCE, MAX_RECORDS, Message, MessageError, MessageKind, Nodes, Ping,
    Pong, RequestId, TalkRequest, TalkResponse,
};

pub(super) fn message(bytes: &Bytes) -> Result<Message, MessageError> {
    let (&code, data) = bytes.split_first().ok_or(MessageError::Empty)?;
    let kind = MessageKind::from_code(code).ok_or(MessageError::UnknownKind(code))?;
    let bad_data = MessageError::Data(kind);
    let list = RlpItem::whole(data).and_then(|item| item.list()).ok_or(bad_data)?;
    let mut items = Items { buffer: bytes, rest: list };
    let request_id = items.string().ok_or(bad_data)?;
    let request_id = RequestId::new(request_id).ok_or(MessageError::RequestId(kind))?;
    let body = body(kind, &mut items).ok_or(bad_data)?;
    Ok(Message { request_id, body })
}

/// What follows the request id. Whatever follows the elements that are known is left unread.
fn body(kind: MessageKind, items: &mut Items<'_>) -> Option<Body> {
    Some(match kind {
        MessageKind::Ping => Body::Ping(Ping { enr_seq: items.uint()? }),
        MessageKind::Pong => Body::Pong(Pong {
            enr_seq: items.uint()?,
            ip: ip(items.string()?)?,
            port: port(items.string()?)?,
        }),
        MessageKind::FindNode => Body::FindNode(FindNode { distances: distances(items.list()?)? }),
        MessageKind::Nodes => {
            Body::Nodes(Nodes { total: items.uint()?, records: records(items.list()?)? })
        }
        MessageKind::TalkRequest => {
            Body::TalkRequest(TalkRequest { protocol: items.shared()?, request: items.shared()? })
        }
        MessageKind::TalkResponse => Body::TalkResponse(TalkResponse { response: items.shared()? }),
    })
}

/// The items of a list within a buffer.
struct Items<'a> {
    buffer: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    fn next(&mut self) -> Option<RlpItem<'a>> {
        let (item, rest) = RlpItem::split(self.rest)?;
        self.rest = rest;
        Some(item)
    }

    fn uint(&mut self) -> Option<u64> {
        self.next()?.uint()
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        self.next()?.string()
    }

    /// A string that shares the buffer.
    fn shared(&mut self) -> Option<Bytes> {
        let string = self.string()?;
        Some(self.buffer.slice_ref(string))
    }

    fn list(&mut self) -> Option<Self> {
        let rest = self.next()?.list()?;
        Some(Self { buffer: self.buffer, rest })
    }
}

/// The distances that exist; one that is a number costs the others nothing.
fn distances(mut items: Items<'_>) -> Option<Vec<u16>> {
    let mut distances = Vec::new();
    while !items.rest.is_empty() {
        let distance = u16::try_from(items.uint()?).ok();
        distances.extend(distance.filter(|&distance| distance <= MAX_DISTANCE));
    }
    Some(distances)
}

/// The first records; what is no list takes nothing from the others.
fn records(mut items: Items<'_>) -> Option<Vec<Bytes>> {
    let mut records = Vec::new();
    while !items.rest.is_empty() {
        let item = items.next()?;
        if item.list().is_some() && records.len() < MAX_RECORDS {
            records.push(items.buffer.slice_ref(item.raw()));
        }
    }
    Some(records)
}

/// An address of 4 or 16 bytes, an IPv4-mapped one as it came.
fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// A port, with leading zeros or without: some write two bytes always.
fn port(digits: &[u8]) -> Option<u16> {
    (digits.len() <= 2).then(|| digits.iter().fold(0, |port, &digit| port << 8 | u16::from(digit)))
}
