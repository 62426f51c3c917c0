/// What shall happen to one frame, packed in 4 bytes.
///
///     bits  0..<16   egress port: of a unicast, and of a drop that was charged to an egress port
///     bits 16..<24   drop reason
///     bits 24..<32   kind
@frozen
public struct Verdict: Equatable, Sendable, CustomStringConvertible {
    /// The three things that can happen to a frame.
    @frozen
    public enum Kind: UInt8, Sendable {
        /// Send it to `egress`.
        case unicast
        /// Send a copy to every port of the connection table's flood list of the ingress port.
        case flood
        /// Do nothing: it has been counted under `reason`.
        case drop
    }

    @usableFromInline
    let word: UInt32

    @inlinable
    @_noLocks
    init(word: UInt32) {
        self.word = word
    }

    /// Send to one port.
    @inlinable
    @_noLocks
    public static func unicast(to egress: PortID) -> Verdict {
        Verdict(word: UInt32(egress.rawValue))
    }

    /// Send to the flood list of the ingress port, which is not empty.
    @inlinable
    public static var flood: Verdict { @_noLocks get { Verdict(word: 1 << 24) } }

    /// Drop, charged to the ingress port.
    @inlinable
    @_noLocks
    public static func drop(_ reason: DropReason) -> Verdict {
        Verdict(word: 2 << 24 | reason.code << 16)
    }

    /// Drop, charged to `egress`.
    @inlinable
    @_noLocks
    public static func drop(_ reason: DropReason, egress: PortID) -> Verdict {
        Verdict(word: drop(reason).word | UInt32(egress.rawValue))
    }

    /// Unicast, flood or drop.
    @inlinable
    public var kind: Kind {
        @_noLocks get {
            switch word >> 24 {
            case 0: .unicast
            case 1: .flood
            default: .drop
            }
        }
    }

    /// The egress port of a unicast, or the port to which a drop was charged if not the ingress
    /// port.
    @inlinable
    public var egress: PortID {
        @_noLocks get { PortID(rawValue: UInt16(truncatingIfNeeded: word)) }
    }

    /// Why the frame is dropped; `nil` unless `kind` is `.drop`.
    @inlinable
    public var reason: DropReason? {
        @_noLocks get { word >> 24 == 2 ? DropReason(code: word >> 16 & 0xFF) : nil }
    }

    /// A stable number for checksums.
    @inlinable
    public var rawValue: UInt32 { word }

    /// For messages of tests.
    public var description: String {
        switch kind {
        case .unicast: "unicast(\(egress))"
        case .flood: "flood"
        case .drop: "drop(\(reason.map(\.name) ?? "unknown"))"
        }
    }

    // Between its two passes the classifier keeps notes where the verdicts will stand; no caller
    // sees one of these.

    /// The frame was admitted and has addresses of its own to look up.
    static var pendingFresh: Verdict { @_noLocks get { Verdict(word: 3 << 24) } }

    /// The frame was admitted and its header equals that of the last fresh one.
    static var pendingRepeat: Verdict { @_noLocks get { Verdict(word: 4 << 24) } }
}
