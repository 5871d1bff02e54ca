use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use crate::{Family, Prefix, check_relay_addr, prefix_group};

/// How many votes agree on an endpoint before it is believed. go-ethereum's figure.
const MIN_VOTES: usize = 10;
/// For how long a vote counts. go-ethereum's figure.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// The votes that are kept in each family: several times what is needed for a majority, and little
/// enough to be counted at every vote.
const MAX_VOTES: usize = 64;

/// What others say of our own endpoint, in both families.
///
/// Every prefix of addresses, a /24 or a /48, has one vote, its last one, so that one hand with
/// many ids is one voice. Nobody has one for an endpoint that it cannot see: of the other family,
/// or in a network where it is not itself. Who may vote at all is for the caller to say: nodes that
/// answered a request of ours.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointVotes {
    v4: Vec<Vote>,
    v6: Vec<Vote>,
}

#[derive(Clone, Debug)]
struct Vote {
    voter: Prefix,
    endpoint: SocketAddr,
    at: Instant,
}

/// What the votes of a family say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    /// Too few to say anything.
    TooFew,
    /// Enough of them, and no majority.
    Divided,
    /// More than half agree, and enough.
    Agreed(SocketAddr),
}

impl EndpointVotes {
    /// Counts a vote if it can be true, and says what the votes of its family say now. One that
    /// cannot changes nothing.
    pub(crate) fn vote(&mut self, now: Instant, voter: IpAddr, endpoint: SocketAddr) -> Tally {
        let endpoint = SocketAddr::new(endpoint.ip().to_canonical(), endpoint.port());
        let family = Family::of(endpoint.ip());
        if family != Family::of(voter) || check_relay_addr(voter, endpoint).is_err() {
            return Tally::TooFew;
        }
        let votes = match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        };
        let voter = prefix_group(voter);
        votes.retain(|vote| vote.voter != voter && now.saturating_duration_since(vote.at) < WINDOW);
        if votes.len() >= MAX_VOTES {
            // The oldest.
            votes.remove(0);
        }
        votes.push(Vote { voter, endpoint, at: now });
        tally(votes)
    }
}

fn tally(votes: &[Vote]) -> Tally {
    if votes.len() < MIN_VOTES {
        return Tally::TooFew;
    }
    let Some(leader) = leader(votes) else { return Tally::TooFew };
    let count = votes.iter().filter(|vote| vote.endpoint == leader).count();
    if count >= MIN_VOTES && count > votes.len() / 2 {
        Tally::Agreed(leader)
    } else {
        Tally::Divided
    }
}

/// The endpoint of the majority, if there is one, in one pass: votes for different endpoints cancel
/// each other (Boyer and Moore).
fn leader(votes: &[Vote]) -> Option<SocketAddr> {
    let mut lead = 0_usize;
    votes.iter().fold(None, |leader, vote| {
        if lead == 0 {
            lead = 1;
            return Some(vote.endpoint);
        }
        lead = if leader == Some(vote.endpoint) {
            lead.saturating_add(1)
        } else {
            lead.saturating_sub(1)
        };
        leader
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
        Instant::now()
    }

    fn voter(prefix: u8, host: u8) -> IpAddr {
        IpAddr::from([9, 9, prefix, host])
    }

    fn endpoint(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ten_prefixes_and_more_than_half_decide() {
        let mut votes = EndpointVotes::default();
        let (now, ours) = (start(), endpoint("1.2.3.4:30303"));
        for prefix in 0..9 {
            assert_eq!(votes.vote(now, voter(prefix, 1), ours), Tally::TooFew);
        }
        assert_eq!(votes.vote(now, voter(9, 1), ours), Tally::Agreed(ours));
        // As many others: no more than half.
        let other = endpoint("6.6.6.6:6666");
        for prefix in 100..109 {
            assert_eq!(votes.vote(now, voter(prefix, 1), other), Tally::Agreed(ours));
        }
        assert_eq!(votes.vote(now, voter(109, 1), other), Tally::Divided);
        assert_eq!(votes.vote(now, voter(110, 1), other), Tally::Agreed(other));
    }

    #[test]
    fn one_prefix_has_one_voice() {
        let mut votes = EndpointVotes::default();
        let now = start();
        for host in 0..=255 {
            let tally = votes.vote(now, voter(7, host), endpoint("6.6.6.6:6666"));
            assert_eq!(tally, Tally::TooFew);
        }
    }

    #[test]
    fn votes_expire_and_families_are_apart() {
        let mut votes = EndpointVotes::default();
        let (mut now, ours) = (start(), endpoint("1.2.3.4:30303"));
        for prefix in 0..9 {
            votes.vote(now, voter(prefix, 1), ours);
        }
        let six = endpoint("[2a00::1]:30303");
        assert_eq!(votes.vote(now, "2a00:9::1".parse().unwrap(), six), Tally::TooFew);
        assert_eq!((votes.v4.len(), votes.v6.len()), (9, 1));
        now += WINDOW;
        assert_eq!(votes.vote(now, voter(10, 1), ours), Tally::TooFew);
    }

    #[test]
    fn nobody_has_a_voice_for_what_it_cannot_see() {
        let mut votes = EndpointVotes::default();
        let (now, ours) = (start(), endpoint("1.2.3.4:30303"));
        for prefix in 0..9 {
            votes.vote(now, voter(prefix, 1), ours);
        }
        let nonsense = "127.0.0.1:30303 10.0.0.9:30303 169.254.1.1:30303 100.64.0.1:30303 \
                        192.0.2.1:30303 0.0.0.0:30303 224.0.0.1:30303 1.1.1.1:22 1.1.1.1:0 \
                        [2a00::1]:30303 [::ffff:10.0.0.9]:30303";
        for text in nonsense.split_whitespace() {
            for prefix in 0..20 {
                let tally = votes.vote(now, voter(prefix, 1), endpoint(text));
                assert_eq!(tally, Tally::TooFew, "{text}");
            }
        }
        // Nor does whoever talks nonsense lose the voice that it had.
        let mapped = IpAddr::V6(std::net::Ipv4Addr::new(9, 9, 9, 1).to_ipv6_mapped());
        assert_eq!(votes.vote(now, mapped, ours), Tally::Agreed(ours));

        // At home they see each other.
        let mut votes = EndpointVotes::default();
        let home = endpoint("192.168.0.4:30303");
        let tallies: Vec<_> = (0..10)
            .map(|prefix| votes.vote(now, IpAddr::from([192, 168, prefix, 9]), home))
            .collect();
        assert_eq!(tallies.last(), Some(&Tally::Agreed(home)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut votes = EndpointVotes::default();
        let now = start();
        for prefix in 0..=255 {
            votes.vote(now, voter(prefix, 1), endpoint("1.2.3.4:30303"));
        }
        assert_eq!(votes.v4.len(), MAX_VOTES);
    }
}
