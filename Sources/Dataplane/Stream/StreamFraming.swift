// How frames stand in a stream of bytes: each behind its length.
//
//     stream   u32 big-endian      QEMU `-netdev stream`, libkrun unixstream, passt, socket_vmnet
//     vpnkit   u16 little-endian   vpnkit, hyperkit

/// The form of the length before each frame of a stream.
enum StreamFraming: UInt8 {
    case bigEndian32
    case littleEndian16

    /// Bytes of a length.
    var prefixLength: Int { self == .bigEndian32 ? 4 : 2 }

    /// Longest frame that a length may announce. Nobody sends more than 128 KiB, so a length beyond
    /// that is none: sender and receiver disagree about where frames begin.
    var lengthMax: Int { self == .bigEndian32 ? 128 << 10 : 65_535 }

    /// Reads a length.
    func length(at address: UnsafeRawPointer) -> Int {
        switch self {
        case .bigEndian32: Int(UInt32(bigEndian: address.loadUnaligned(as: UInt32.self)))
        case .littleEndian16: Int(UInt16(littleEndian: address.loadUnaligned(as: UInt16.self)))
        }
    }

    /// A length as the first bytes of a word in memory.
    /// - Precondition: the length is not beyond what the framing can say.
    func prefix(of length: Int) -> UInt32 {
        assert(length <= (self == .bigEndian32 ? Int(UInt32.max) : 65_535))
        return switch self {
        case .bigEndian32: UInt32(truncatingIfNeeded: length).bigEndian
        case .littleEndian16: UInt32(truncatingIfNeeded: length).littleEndian
        }
    }
}

/// Why a connection ended.
public enum PeerEnding: UInt8, Sendable, CaseIterable {
    /// The kernel said so with an errno.
    case failed
    /// The peer closed it.
    case closed
    /// The peer closed it in the middle of a frame.
    case closedAmidFrame
    /// The peer announced a frame of no bytes.
    case emptyFrame
    /// The peer announced a frame longer than any: its stream is no stream of frames, or sender and
    /// receiver disagree about where they begin.
    case desynchronised

    /// Whether the peer broke the rules of its transport.
    public var isFault: Bool { self != .failed && self != .closed }
}
