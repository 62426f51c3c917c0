/// What makes a unixgram port worse than it was meant: mostly a limit of the kernel.
public enum UnixgramWarning: Hashable, Sendable, CustomStringConvertible {
    /// The send buffer is smaller than asked for, both in bytes.
    case sendBuffer(asked: Int, effective: Int)
    /// The peer does not connect its socket, so this many frames at most wait for it.
    case queueLength(frames: Int)
    /// The port pauses, and the peer greets as one that does not bear it.
    case pausedLibkrun

    /// Waiting frames below which a peer that does not connect loses many (a TCP window of 64 KiB
    /// is 45 full frames).
    static let queueLengthMin = 64
    /// The value that systemd sets where it runs.
    private static let queueLengthAdvised = 512

    /// One sentence with the sysctl line that lifts the limit.
    public var description: String {
        switch self {
        case .sendBuffer(let asked, let effective):
            // The kernel doubles what it is given; socket(7), SO_SNDBUF.
            "the send buffer is \(effective) bytes, not \(asked): raise the limit with "
                + "`sysctl -w net.core.wmem_max=\((asked + 1) / 2)`"
        case .queueLength(let frames):
            "this peer sends without connecting, so at most \(frames) frames wait for it: start "
                + "it again after `sysctl -w net.unix.max_dgram_qlen=\(Self.queueLengthAdvised)`"
        case .pausedLibkrun:
            "this peer greets as libkrun does, which loses a descriptor for good each time it has "
                + "to wait: if it is libkrun, set `on_congestion = \"drop\"` for its port"
        }
    }
}
