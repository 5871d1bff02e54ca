use std::{collections::BTreeMap, fmt};

use devp2p_core::Fault;

use crate::id;

/// A subprotocol and its version, such as `eth/68`.
///
/// Sorts by name, then by version, as the Hello and the message ids want it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// The name: up to 8 ASCII characters for one of our own.
    pub name: String,
    /// The version.
    pub version: u64,
}

impl Capability {
    /// The longest name, in characters (RLPx specification, "Hello").
    pub const MAX_NAME: usize = 8;

    /// The capability `name`/`version`.
    pub fn new(name: impl Into<String>, version: u64) -> Self {
        Self { name: name.into(), version }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// A capability that both sides have, and the range of message ids that it got.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedCapability {
    /// Name and version.
    pub capability: Capability,
    /// The id on the wire of the capability's message 0.
    pub offset: u64,
    /// The number of message ids.
    pub length: u64,
}

impl SharedCapability {
    /// The id within the capability of the message with this id on the wire.
    pub fn relative(&self, id: u64) -> Option<u64> {
        id.checked_sub(self.offset).filter(|&relative| relative < self.length)
    }

    /// The id on the wire of the message with this id within the capability.
    pub fn absolute(&self, relative: u64) -> Option<u64> {
        if relative < self.length { self.offset.checked_add(relative) } else { None }
    }
}

/// Works out which capabilities two nodes share, and their message ids.
///
/// Of each name the highest version that both have is taken. Message ids are given out from 0x10
/// on, in the alphabetical order of the names (RLPx specification, "Message ID-based
/// Multiplexing"). `own` lists each of our capabilities with its number of message ids; the order
/// of both lists does not matter, and repetitions do no harm. Capabilities for which no ids are
/// left are not shared; [`check_capabilities`] refuses those beforehand.
pub fn share_capabilities(
    own: &[(Capability, u64)],
    remote: &[Capability],
) -> Vec<SharedCapability> {
    let mut best = BTreeMap::<&str, (u64, u64)>::new();
    for (capability, length) in own.iter().filter(|(capability, _)| remote.contains(capability)) {
        let entry = best.entry(&capability.name).or_insert((capability.version, *length));
        if entry.0 < capability.version {
            *entry = (capability.version, *length);
        }
    }
    let mut offset = id::BASE_LENGTH;
    let mut shared = Vec::with_capacity(best.len());
    for (name, (version, length)) in best {
        let Some(next) = offset.checked_add(length) else { break };
        shared.push(SharedCapability {
            capability: Capability::new(name, version),
            offset,
            length,
        });
        offset = next;
    }
    shared
}

/// Checks our own capabilities and their numbers of message ids, before anything is started.
///
/// # Errors
/// The first capability that cannot be offered, and why.
pub fn check_capabilities(own: &[(Capability, u64)]) -> Result<(), CapabilityError> {
    let mut end = id::BASE_LENGTH;
    for (index, (capability, length)) in own.iter().enumerate() {
        let problem = if capability.name.is_empty() || capability.name.len() > Capability::MAX_NAME
        {
            Some(CapabilityProblem::NameLength)
        } else if !capability.name.bytes().all(|byte| byte.is_ascii_graphic()) {
            Some(CapabilityProblem::NameCharacters)
        } else if *length == 0 {
            Some(CapabilityProblem::NoMessages)
        } else if own.iter().take(index).any(|(earlier, _)| earlier == capability) {
            Some(CapabilityProblem::Duplicate)
        } else {
            None
        };
        let problem = match (problem, end.checked_add(*length)) {
            (Some(problem), _) => problem,
            (None, None) => CapabilityProblem::TooManyMessages,
            (None, Some(next)) => {
                end = next;
                continue;
            }
        };
        return Err(CapabilityError { capability: capability.clone(), problem });
    }
    Ok(())
}

/// A capability of our own that cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapabilityError {
    /// The capability.
    pub capability: Capability,
    /// What is wrong with it.
    pub problem: CapabilityProblem,
}

/// What is wrong with a capability of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CapabilityProblem {
    /// The same name and version is there twice.
    Duplicate,
    /// The name holds something else than printable ASCII.
    NameCharacters,
    /// The name is empty or longer than [`Capability::MAX_NAME`].
    NameLength,
    /// It has no message ids.
    NoMessages,
    /// All capabilities together have more message ids than there are.
    TooManyMessages,
}

impl CapabilityError {
    /// Whose fault it is: ours, it is our own capability.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl fmt::Display for CapabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capability, problem } = self;
        match problem {
            CapabilityProblem::Duplicate => write!(f, "capability {capability} is there twice"),
            CapabilityProblem::NameCharacters => {
                write!(f, "the name of capability {capability:?} is not printable ascii")
            }
            CapabilityProblem::NameLength => write!(
                f,
                "the name of capability {capability:?} does not have 1 to {} characters",
                Capability::MAX_NAME
            ),
            CapabilityProblem::NoMessages => {
                write!(f, "capability {capability} has no message ids")
            }
            CapabilityProblem::TooManyMessages => {
                write!(
                    f,
                    "with capability {capability} there are more message ids than 64 bits hold"
                )
            }
        }
    }
}

impl std::error::Error for CapabilityError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own(list: &[(&str, u64, u64)]) -> Vec<(Capability, u64)> {
        list.iter()
            .map(|&(name, version, length)| (Capability::new(name, version), length))
            .collect()
    }

    fn remote(list: &[(&str, u64)]) -> Vec<Capability> {
        list.iter().map(|&(name, version)| Capability::new(name, version)).collect()
    }

    fn shared(own_list: &[(&str, u64, u64)], remote_list: &[(&str, u64)]) -> Vec<String> {
        share_capabilities(&own(own_list), &remote(remote_list))
            .into_iter()
            .map(|shared| format!("{}@{}+{}", shared.capability, shared.offset, shared.length))
            .collect()
    }

    /// go-ethereum's table (`TestMatchProtocols`), and what it leaves out.
    #[test]
    fn the_highest_shared_version_of_each_name() {
        let none: [&str; 0] = [];
        assert_eq!(shared(&[], &[("a", 1)]), none);
        assert_eq!(shared(&[("a", 1, 1)], &[]), none);
        assert_eq!(shared(&[("a", 1, 1)], &[("b", 1)]), none);
        assert_eq!(shared(&[("a", 1, 1)], &[("a", 2)]), none, "a version only one side has");
        assert_eq!(shared(&[("a", 1, 1)], &[("A", 1)]), none, "names know upper case");
        assert_eq!(shared(&[("a", 1, 1), ("b", 2, 2), ("c", 3, 3)], &[("b", 2)]), ["b/2@16+2"]);
        assert_eq!(
            shared(&[("b", 1, 2), ("a", 1, 1)], &[("a", 1), ("b", 1), ("c", 9)]),
            ["a/1@16+1", "b/1@17+2"]
        );
        assert_eq!(
            shared(&[("a", 3, 3), ("a", 1, 1), ("a", 2, 2)], &[("a", 2), ("a", 1), ("a", 4)]),
            ["a/2@16+2"]
        );
        assert_eq!(shared(&[("a", 1, 4)], &[("a", 1), ("a", 1)]), ["a/1@16+4"]);
    }

    #[test]
    fn ids_run_out_without_a_wrap() {
        assert_eq!(
            shared(&[("a", 1, u64::MAX - 16), ("b", 1, 1)], &[("a", 1), ("b", 1)]),
            [format!("a/1@16+{}", u64::MAX - 16)]
        );
    }

    #[test]
    fn what_cannot_be_offered() {
        use CapabilityProblem::*;
        type Offer<'a> = (&'a str, u64, u64);
        let cases: [(&[Offer<'_>], Option<CapabilityProblem>); 9] = [
            (&[("eth", 68, 17), ("eth", 69, 18), ("snap", 1, 8)], None),
            (&[("12345678", 0, 1)], None),
            (&[("123456789", 0, 1)], Some(NameLength)),
            (&[("", 0, 1)], Some(NameLength)),
            (&[("\u{e9}th", 1, 1)], Some(NameCharacters)),
            (&[("e th", 1, 1)], Some(NameCharacters)),
            (&[("a", 1, 0)], Some(NoMessages)),
            (&[("a", 1, 1), ("a", 2, 1), ("a", 1, 2)], Some(Duplicate)),
            (&[("a", 1, u64::MAX - 20), ("b", 1, 5)], Some(TooManyMessages)),
        ];
        for (list, problem) in cases {
            let result = check_capabilities(&own(list));
            assert_eq!(result.clone().err().map(|error| error.problem), problem, "{list:?}");
            assert!(result.is_ok() || !result.unwrap_err().to_string().is_empty());
        }
    }

    proptest! {
        #[test]
        fn both_sides_agree_and_ranges_do_not_touch(
            ours in proptest::collection::vec(("[a-c]", 0_u64..4), 0..8),
            theirs in proptest::collection::vec(("[a-c]", 0_u64..4), 0..8),
        ) {
            // The number of ids is a property of the capability, as both sides know it.
            let with_lengths = |list: &[(String, u64)]| -> Vec<(Capability, u64)> {
                list.iter().map(|(n, v)| (Capability::new(n.as_str(), *v), v + 1)).collect()
            };
            let only_names = |list: &[(String, u64)]| -> Vec<Capability> {
                list.iter().map(|(n, v)| Capability::new(n.as_str(), *v)).collect()
            };
            let here = share_capabilities(&with_lengths(&ours), &only_names(&theirs));
            let there = share_capabilities(&with_lengths(&theirs), &only_names(&ours));
            prop_assert_eq!(&here, &there);
            let mut next = 16;
            for shared in &here {
                prop_assert_eq!(shared.offset, next);
                next += shared.length;
            }
        }
    }
}
