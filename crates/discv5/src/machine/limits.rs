use devp2p_core::Rng;

use crate::Config;

#[derive(Debug)]
pub(super) struct Limits {}

impl Limits {
    pub(super) fn new(_config: &Config, _rng: &mut Rng) -> Self {
        Self {}
    }
}
