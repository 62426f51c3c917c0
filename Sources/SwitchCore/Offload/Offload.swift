/// Which work on frames a port's peer leaves to others: finishing checksums, cutting up large TCP
/// frames.
@frozen
public enum Offload: UInt8, Sendable, CaseIterable {
    /// None: every frame is whole, its checksums are complete, and it is at most `max_frame` long.
    case none
    /// A virtio header before each frame says what is left to do (TAP with IFF_VNET_HDR).
    case vnet
    /// Frames of up to `max_frame` bytes, some with only the pseudo-header sum as their checksum,
    /// and nothing that says so (libkrun and krunkit guests with offloading).
    case raw

    // Compared by pattern: `==` of an enum with raw values is generic code, which may lock.

    /// Whether frames carry a virtio header on their way to and from the peer.
    @inlinable
    public var hasHeader: Bool { @_noLocks get { if case .vnet = self { true } else { false } } }

    /// Whether the peer leaves nothing to others.
    @inlinable
    public var isNone: Bool { @_noLocks get { if case .none = self { true } else { false } } }

    /// The most bytes of a frame with a segment size: what a libkrun guest's buffers hold behind
    /// their virtio header, and more than the kernel's 65,536 less its headers.
    @inlinable
    public static var superframeLengthMax: Int { @_noLocks get { 65_550 } }

    /// The most bytes of a frame that may come in by a port of this class.
    @inlinable
    @_noLocks
    public func ingressLengthMax(maxFrame: Int) -> Int {
        hasHeader ? Offload.superframeLengthMax : maxFrame
    }
}
