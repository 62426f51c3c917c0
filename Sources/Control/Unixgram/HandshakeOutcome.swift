// What a handshake leaves behind: a peer with its first frames, refusals for the log, and a count
// of every datagram that was neither.

/// What a unixgram port asks of a peer, and gives it.
public struct HandshakeRules: Equatable, Sendable {
    /// Users that may attach; empty where the permissions of the socket file alone decide.
    public var allowUIDs: [UInt32]
    /// Effective send buffer wanted, in bytes as the kernel charges them.
    public var sendBuffer: Int
    /// Longest frame in bytes that is kept for the worker.
    public var frameLengthMax: Int
    /// The only one that may attach; `nil`: anybody.
    var expected: UnixgramAddress?

    /// Rules of one port.
    public init(allowUIDs: [UInt32] = [], sendBuffer: Int, frameLengthMax: Int) {
        self.allowUIDs = allowUIDs
        self.sendBuffer = sendBuffer
        self.frameLengthMax = frameLengthMax
    }
}

/// The process at the other end of a port.
public struct UnixgramPeer: Sendable {
    /// Name of the peer's socket.
    public let address: UnixgramAddress
    /// Sender of the first datagram; `nil` where it lives in a PID namespace that is not visible
    /// here, or the datagram was lost.
    public let pid: Int32?
    /// User of that process, of the socket's creator where the datagram was lost; `nil` where the
    /// kernel did not tell.
    public let uid: UInt32?
    /// Name of its program, made printable.
    public let command: String?
    /// Handle that tells of its end; `nil` where the kernel gives none.
    public let process: ProcessHandle?

    /// "qemu-system-x86_64 (pid 12, uid 0, /tmp/vm.sock)", as far as known.
    public var summary: String {
        let facts = [pid.map { "pid \($0)" }, uid.map { "uid \($0)" }, "\(address)"]
        return "\(command ?? "a process") (\(facts.compactMap(\.self).joined(separator: ", ")))"
    }
}

/// A peer that has been connected to.
public struct UnixgramAttachment: Sendable {
    /// The peer.
    public let peer: UnixgramPeer
    /// Whether the first datagram was the magic "VFKT" (libkrun, vfkit), not a frame (QEMU).
    public let usedMagic: Bool
    /// The peer's frames that came before receiving is armed, in order. Not yet counted as
    /// received.
    public let frames: [[UInt8]]
    /// SO_SNDBUF as the kernel has it, in bytes.
    public let effectiveSendBuffer: Int
    /// Limits of the kernel that this peer will feel.
    public let warnings: [UnixgramWarning]
}

/// Why a source was not taken as the port's peer, for one line of the log.
public struct HandshakeRefusal: Hashable, Sendable, CustomStringConvertible {
    /// The reasons; errno values stay with `connectBack`.
    public enum Reason: Hashable, Sendable {
        /// Its socket has no name, so nothing can be sent to it.
        case unbound
        /// The kernel did not tell the user, and the port has an allow list.
        case userUnknown
        /// Its user is not on the allow list.
        case userNotAllowed([UInt32])
        /// It sends without connecting, to a path that others use as well.
        case notConnected
        /// connect() to its socket failed with this errno.
        case connectBack(Int32)
        /// Its path now leads to a socket of another name.
        case pathLeadsElsewhere
        /// It has sent nothing, and another one that has not either is connected as well.
        case silentAmongOthers
    }

    /// The reason.
    public let reason: Reason
    /// Name of the source's socket.
    public let address: UnixgramAddress
    /// User of the source.
    public let uid: UInt32?
    /// Who was refused: program, pid, uid, address.
    public let summary: String

    /// One sentence: who, why, and the remedy.
    public var description: String { "refused \(summary): \(explanation)" }
}

/// Datagrams that ended in the handshake. Each one is counted once.
public struct HandshakeCounts: Equatable, Sendable {
    /// Datagrams of exactly "VFKT"; not frames.
    public var magic = 0
    /// Shorter than an Ethernet header: drop reason `runt`.
    public var runts = 0
    /// Frames of sources that are not the peer: drop reason `foreign`.
    public var foreign = 0
    /// Frames of the peer longer than the rules allow: drop reason `oversize`.
    public var oversize = 0
    /// Frames of the peer beyond what is kept for the worker: drop reason `handover_full`.
    public var handoverFull = 0
    /// Bytes of all of these but the magic.
    public var droppedBytes = 0

    /// Frames that were received and dropped here.
    public var droppedFrames: Int { runts + foreign + oversize + handoverFull }
}

/// What one call of `UnixgramListener.accept` or `acceptSilent` found.
public struct HandshakeOutcome: Sendable {
    /// The new peer; `nil`: the port still listens.
    public var attachment: UnixgramAttachment?
    /// Sources refused that have not been told of before.
    public var refusals: [HandshakeRefusal] = []
    /// The first source other than the peer whose frame waited behind the peer's, for one log line.
    public var foreignPeer: UnixgramPeer?
    /// What was counted during this call.
    public var counts = HandshakeCounts()
}
