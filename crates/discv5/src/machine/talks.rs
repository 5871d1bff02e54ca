use std::time::Instant;

use bytes::Bytes;

use super::Discv5;
use crate::{Config, RespondError, TalkId, crypto::Identity};

#[derive(Debug)]
pub(super) struct Talks {}

impl Talks {
    pub(super) fn new(_config: &Config) -> Self {
        Self {}
    }
    pub(super) fn len(&self) -> usize {
        0
    }
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        None
    }
    pub(super) fn due(&self, _now: Instant) -> Option<TalkId> {
        None
    }
}

impl<I: Identity> Discv5<I> {
    pub(super) fn handle_talk_timeout(&mut self, _talk: TalkId) {}

    pub(super) fn send_talk_response(
        &mut self,
        _talk: TalkId,
        _response: Bytes,
    ) -> Result<(), RespondError> {
        Err(RespondError::Late)
    }
}
