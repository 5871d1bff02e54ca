use std::collections::VecDeque;

use devp2p_core::Message;

/// Messages that wait, bounded in number and in bytes.
///
/// There is room while both are below their limits, so a queue holds at most `max_bytes` and one
/// message more: a budget that could refuse a whole message for good would be a dead end.
#[derive(Debug)]
pub(super) struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
}

impl Queue {
    pub(super) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            max_messages: max_messages.max(1),
            max_bytes: max_bytes.max(1),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.messages.len() < self.max_messages && self.bytes < self.max_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Appends; the caller has seen that there is room.
    pub(super) fn push(&mut self, message: Message) {
        self.bytes = self.bytes.saturating_add(message.payload.len());
        self.messages.push_back(message);
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(message.payload.len());
        Some(message)
    }

    /// Drops what waits, and its memory.
    pub(super) fn clear(&mut self) {
        self.messages = VecDeque::new();
        self.bytes = 0;
    }

    /// Messages and bytes that wait.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.messages.len(), self.bytes)
    }
}
