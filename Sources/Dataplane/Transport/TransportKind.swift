/// How frames travel between the switch and a peer.
public enum TransportKind: UInt8, Sendable {
    /// One frame a datagram on a connected AF_UNIX datagram socket.
    case unixgram
    /// One frame a read or write on a TAP device's descriptor.
    case tap
    /// One frame a packet on a connected AF_UNIX socket of packets (SOCK_SEQPACKET).
    case seqpacket
    /// Frames on an AF_UNIX stream socket, each behind its length: 32 bits, big-endian.
    case stream
    /// The same with 16 bits, little-endian, as vpnkit and hyperkit have it.
    case vpnkit

    /// How the bytes of a stream become frames; nil where the kernel keeps frames apart.
    var framing: StreamFraming? {
        switch self {
        case .unixgram, .tap, .seqpacket: nil
        case .stream: .bigEndian32
        case .vpnkit: .littleEndian16
        }
    }

    /// Whether the ring is asked only whether there is something to read, and the worker reads.
    var isPolled: Bool { self == .tap || framing != nil }

    /// Whether the end of a connection is told to the one who reads.
    var hasEnd: Bool { self != .unixgram && self != .tap }
}
