//! The shares of the sources of candidates.

/// In which shares the sources of candidates are mixed while all of them have some: of each sum of
/// all shares so many candidates come from the source. A source that has none leaves its turns to
/// the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiscoveryShares {
    /// The share of discovery v4. Default 1.
    pub v4: u32,
    /// The share of discovery v5. A node that both know counts as one of whichever told of it
    /// first. Default 1.
    pub v5: u32,
    /// The share of the node lists in DNS, all of them together. Default 1.
    pub dns: u32,
    /// The share of the nodes that discovery knew before a restart, each of which is offered once.
    /// Default 1.
    pub remembered: u32,
    /// The share of [`Builder::discovery`](crate::Builder::discovery). Default 1.
    pub custom: u32,
    /// The share of each subprotocol that knows candidates. Default 1.
    pub subprotocols: u32,
}

impl DiscoveryShares {
    /// The shares that are 0 and must not be, by name: such a source would never be asked.
    pub(super) fn zeros(&self) -> Vec<&'static str> {
        let all = [
            ("shares.v4", self.v4),
            ("shares.v5", self.v5),
            ("shares.dns", self.dns),
            ("shares.remembered", self.remembered),
            ("shares.custom", self.custom),
            ("shares.subprotocols", self.subprotocols),
        ];
        all.into_iter().filter(|&(_, share)| share == 0).map(|(name, _)| name).collect()
    }
}

impl Default for DiscoveryShares {
    fn default() -> Self {
        Self { v4: 1, v5: 1, dns: 1, remembered: 1, custom: 1, subprotocols: 1 }
    }
}
