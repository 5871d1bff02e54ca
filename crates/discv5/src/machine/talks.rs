//! TALKREQs that wait for the user's answer.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Discv5, after, receive::Sender};
use crate::{
    Config, Event, RespondError, TalkId,
    crypto::Identity,
    message::{Body, Message, RequestId, TalkRequest, TalkResponse},
    statistics::count_one,
    wire::MAX_MESSAGE_SIZE,
};

#[derive(Debug)]
pub(super) struct Talks {
    max: usize,
    timeout: Duration,
    /// All wait equally long, so the first is the next that is over.
    open: BTreeMap<TalkId, Talk>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Talk {
    sender: Sender,
    request_id: RequestId,
    deadline: Instant,
}

impl Talks {
    pub(super) const fn new(config: &Config) -> Self {
        let (max, timeout) = (config.max_talks, config.talk_timeout);
        Self { max, timeout, open: BTreeMap::new(), next: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn open(&mut self, now: Instant, sender: Sender, request_id: RequestId) -> Option<TalkId> {
        if self.open.len() >= self.max {
            return None;
        }
        self.next = self.next.wrapping_add(1);
        let (id, deadline) = (TalkId(self.next), after(now, self.timeout));
        self.open.insert(id, Talk { sender, request_id, deadline });
        Some(id)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.open.first_key_value().map(|(_, talk)| talk.deadline)
    }

    /// The next request whose time is over; answer it.
    pub(super) fn due(&self, now: Instant) -> Option<TalkId> {
        let first = self.open.first_key_value();
        first.filter(|(_, talk)| talk.deadline <= now).map(|(&id, _)| id)
    }
}

impl<I: Identity> Discv5<I> {
    /// Every TALKREQ is answered, with nothing if nobody has more to say.
    pub(super) fn handle_talk_request(
        &mut self,
        now: Instant,
        sender: Sender,
        request_id: RequestId,
        TalkRequest { protocol, request }: TalkRequest,
    ) {
        let is_known = self.protocols.contains(&protocol);
        let Some(talk) = is_known.then(|| self.talks.open(now, sender, request_id)).flatten()
        else {
            self.answer_nothing(sender, request_id);
            return;
        };
        let (id, endpoint) = (sender.peer.id, sender.peer.endpoint);
        self.tell(Event::TalkRequest { talk, id, endpoint, protocol, request });
    }

    pub(super) fn send_talk_response(
        &mut self,
        id: TalkId,
        response: Bytes,
    ) -> Result<(), RespondError> {
        let &Talk { sender, request_id, .. } =
            self.talks.open.get(&id).ok_or(RespondError::Late)?;
        let body = Body::TalkResponse(TalkResponse { response });
        let message = Message { request_id, body };
        self.write(&message);
        if self.scratch.len() > MAX_MESSAGE_SIZE {
            return Err(RespondError::TooLarge);
        }
        self.talks.open.remove(&id);
        self.send_written(sender, message.kind());
        Ok(())
    }

    /// The user took too long.
    pub(super) fn handle_talk_timeout(&mut self, id: TalkId) {
        if let Some(talk) = self.talks.open.remove(&id) {
            self.answer_nothing(talk.sender, talk.request_id);
        }
    }

    fn answer_nothing(&mut self, sender: Sender, request_id: RequestId) {
        count_one(&mut self.statistics.talks_unanswered);
        let response = TalkResponse { response: Bytes::new() };
        self.answer(sender, request_id, Body::TalkResponse(response));
    }
}
