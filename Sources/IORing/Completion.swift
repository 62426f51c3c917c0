// One completion, laid out as the kernel's struct io_uring_cqe, so that reaping is a copy of
// memory:
//
//     offset 0   UInt64  user_data   the tag of the request
//     offset 8   Int32   res         a count of bytes, or -errno
//     offset 12  UInt32  flags       bit 0: a buffer was taken, its id in bits 16...31; bit 1: more
//
// The kernel writes, the reaping thread reads. Source: include/uapi/linux/io_uring.h.

/// The kernel's answer to a request.
@frozen
public struct Completion: Sendable {
    /// The tag that the request was made with.
    public let tag: CompletionTag

    /// What the request returned: bytes, a poll mask or a count, or -errno.
    ///
    /// A receive that was cut by its buffer reports the datagram's real length here.
    public let result: Int32

    /// IORING_CQE_F_* bits, with the buffer id in the upper half.
    public let flags: UInt32

    /// Makes a completion as the kernel would, for tests that play it.
    @inlinable
    public init(tag: CompletionTag, result: Int32, flags: UInt32) {
        self.tag = tag
        self.result = result
        self.flags = flags
    }

    /// Whether the request stays armed; a multishot request without it must be armed again.
    @inlinable public var hasMore: Bool { flags & 2 != 0 }

    /// The provided buffer that was taken, until it is given back; `nil` if none was.
    @inlinable public var bufferID: UInt16? {
        flags & 1 != 0 ? UInt16(truncatingIfNeeded: flags >> 16) : nil
    }
}
