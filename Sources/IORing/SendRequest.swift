// The request of the hot path: what a turn decides, one value for each frame and egress port.
//
// It becomes one unlinked submission entry that never blocks. It ends inside the `enter` that
// submits it, in the order of staging, and completes with a CQE only if it fails; so after that
// `enter` and a `reap`, every frame without a completion was accepted and no request refers to a
// buffer any more.
//
// Rejected: sends without MSG_DONTWAIT (Linux 6.18 parks a datagram for a full peer, then delivers
// an empty one in its place and loses the frame); links between entries (they run later than the
// submission, from deferred work, and 40-75 % of frames were out of order).

/// One frame to one file: a datagram to a connected socket, or a write to a TAP device.
@frozen
public struct SendRequest {
    /// How the frame goes out, and where its bytes are. The raw values are those of enum
    /// cshims_transfer.
    @frozen
    public enum Operation: UInt8, Sendable {
        /// To a socket, from one place: `address` is the frame's first byte.
        case send = 0
        /// To a device, from one place: `address` is the frame's first byte.
        case write = 1
        /// To a socket, gathered: `address` is that of a `msghdr`.
        case sendMessage = 2
        /// To a device, gathered: `address` is that of two `iovec`.
        case writeVector = 3
    }

    /// Where the bytes are, as `operation` says; the memory is read until the `enter` that submits
    /// it returns.
    public var address: UnsafeRawPointer

    /// Bytes in the frame; never zero, since some peers take an empty datagram for the end.
    public var length: UInt32

    /// The registered file that takes the frame.
    public var fileSlot: UInt32

    /// Comes back in the completion of a refused frame.
    public var tag: CompletionTag

    /// How the frame goes out.
    public var operation: Operation

    /// Describes a send or a write.
    @inlinable
    public init(
        address: UnsafeRawPointer, length: UInt32, fileSlot: UInt32, tag: CompletionTag,
        operation: Operation
    ) {
        self.address = address
        self.length = length
        self.fileSlot = fileSlot
        self.tag = tag
        self.operation = operation
    }
}
