//! What hostile hosts, bad links and bad luck do to a network, measured.

mod amplification;
mod false_friends;
mod killing;
mod loss;
mod nats;
mod partition;
mod reflection;
mod replay;
mod restart;
mod skew;
mod unsolicited;
mod v5;

use devp2p_discv4::Discv4;
use devp2p_discv5::Discv5;

use super::keys::StandIn;

/// Something that happens to a network, and what must hold then.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) measures: &'static [Measure],
    /// Of a seed and a number of nodes makes a value for each measure.
    run: fn(u64, usize) -> Vec<f64>,
    /// How many nodes there are at least.
    pub(crate) nodes: usize,
}

pub(crate) struct Measure {
    pub(crate) what: &'static str,
    pub(crate) bar: Bar,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// There is none. What is worse is more.
    Counted,
}

/// What is done to discovery v4.
pub(crate) const V4: &[Attack] = &[
    reflection::ATTACK,
    unsolicited::ATTACK,
    replay::ATTACK,
    amplification::ATTACK,
    false_friends::ATTACK,
    skew::ATTACK,
    loss::attack::<Discv4<StandIn>>(),
    killing::attack::<Discv4<StandIn>>(),
    partition::attack::<Discv4<StandIn>>(),
    restart::attack::<Discv4<StandIn>>(),
    nats::V4,
];

/// What is done to discovery v5.
pub(crate) const V5: &[Attack] = &[
    loss::attack::<Discv5<StandIn>>(),
    killing::attack::<Discv5<StandIn>>(),
    partition::attack::<Discv5<StandIn>>(),
    restart::attack::<Discv5<StandIn>>(),
    nats::V5,
    v5::unsolicited::ATTACK,
    v5::replay::ATTACK,
    v5::amplification::ATTACK,
    v5::false_friends::ATTACK,
    v5::spoofing::ATTACK,
];

impl Attack {
    /// Runs it once, and holds what came of it against the bars.
    pub(crate) fn check(&self, seed: u64, nodes: usize) -> Vec<f64> {
        let values = (self.run)(seed, nodes);
        assert_eq!(values.len(), self.measures.len());
        for (Measure { what, bar }, value) in self.measures.iter().zip(&values) {
            assert!(bar.holds(*value), "{}: {what}: {value}, not {bar}", self.name);
        }
        values
    }
}

impl Bar {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::Counted => true,
        }
    }

    pub(crate) fn worse(self, a: f64, b: f64) -> f64 {
        if matches!(self, Self::AtLeast(_)) { a.min(b) } else { a.max(b) }
    }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::Counted => f.write_str("counted"),
        }
    }
}
