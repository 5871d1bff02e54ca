use devp2p_core::Rng;

use crate::Config;

#[derive(Debug)]
pub(super) struct Challenges {}

impl Challenges {
    pub(super) fn new(_config: &Config, _rng: &mut Rng) -> Self {
        Self {}
    }
}
