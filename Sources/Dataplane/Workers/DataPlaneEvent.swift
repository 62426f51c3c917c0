public import SwitchCore

/// What a worker tells Control.
public struct DataPlaneEvent: Sendable, Equatable {
    /// What happened.
    public enum Kind: UInt8, Sendable {
        /// Receives are armed; the connection forwards.
        case activated
        /// The kernel did not accept descriptor or buffers; `errno` says why. `retired` follows.
        case activationFailed
        /// A send or receive said that nobody is there any more; `ending` and `errno` say how.
        /// Comes once a connection.
        case peerGone
        /// The worker and the kernel hold nothing of the connection any more.
        case retired
    }

    /// What happened.
    public var kind: Kind
    /// The port that it happened to.
    public var port: PortID
    /// Generation of the connection that the event speaks of.
    public var generation: UInt32
    /// Positive errno, or 0.
    public var errno: Int32
    /// How the connection ended, of `peerGone`.
    public var ending = PeerEnding.failed
}
