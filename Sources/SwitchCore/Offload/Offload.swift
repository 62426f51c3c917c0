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
}
