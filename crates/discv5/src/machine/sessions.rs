use super::Peer;

#[derive(Debug)]
pub(super) struct Sessions {}

impl Sessions {
    pub(super) fn new(_max: usize) -> Self {
        Self {}
    }
    pub(super) fn len(&self) -> usize {
        0
    }
    pub(super) fn contains(&self, _peer: &Peer) -> bool {
        false
    }
}
