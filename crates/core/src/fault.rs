/// Whose fault an error is. It decides the reason that a disconnect carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Ours: a misuse, a limit of this node, a stop.
    Local,
    /// The network's: a broken stream, a timeout.
    Network,
    /// The remote's: it broke the protocol.
    Remote,
}
