// Our end of the submission queue.
//
//             head (kernel's)          tail (ours)
//               v                        v
//        [ free ][ staged, not yet taken ][ free ]        entries of 64 bytes, masked index
//
// Entries are written ahead of a private tail; `publish` makes them visible with one release store,
// once per enter. The kernel takes entries only inside our own io_uring_enter (there is no SQPOLL
// thread), so the release pairs with the kernel's acquire load of the tail in that call, and the
// acquire load of the head pairs with the release store by which the kernel frees entries.
//
// The type is pure: it knows memory and indices, no ring, so tests place it at any index.

internal import CShimsRing
internal import Synchronization

/// The submitting side of the queue: stages entries, counts what the kernel has not taken.
///
/// Thread-safety: none; the ring's owner alone uses it.
package struct SubmissionQueue: ~Copyable {
    private let entries: UnsafeMutableRawPointer
    private let head: KernelWord
    private let tail: KernelWord
    private let mask: UInt32
    private var ownTail: RingIndex

    /// Takes over the queue at the position that its words hold.
    /// - Precondition: `capacity` is a power of two; the memory outlives the queue.
    package init(
        entries: UnsafeMutableRawPointer, head: KernelWord, tail: KernelWord, capacity: Int
    ) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0)
        self.entries = entries
        self.head = head
        self.tail = tail
        mask = UInt32(capacity - 1)
        ownTail = RingIndex(tail.pointee.load(ordering: .relaxed))
    }

    /// How many entries the queue holds.
    package var capacity: Int { Int(mask) + 1 }

    /// Entries staged that the kernel has not taken.
    package var stagedCount: Int {
        ownTail.distance(from: RingIndex(head.pointee.load(ordering: .acquiring)))
    }

    /// Entries that can be staged before the next submission.
    package var room: Int { capacity - stagedCount }

    /// Stages as many sends as there is room for, in order.
    /// - Returns: how many were staged; the rest must wait for an enter.
    package mutating func stage(_ sends: UnsafeBufferPointer<SendRequest>) -> Int {
        let count = min(sends.count, room)
        guard count > 0, var send = sends.baseAddress else { return 0 }
        var index = ownTail.rawValue
        let end = ownTail.advanced(by: count).rawValue
        while index != end {
            let request = send.pointee
            assert(request.length > 0, "an empty datagram ends some peers")
            cshims_entry_write_transfer(
                entries + Int(index & mask) &* 64, request.address, request.length,
                request.fileSlot, request.tag.rawValue, request.operation.rawValue)
            index &+= 1
            send += 1
        }
        ownTail = RingIndex(end)
        return count
    }

    /// Takes the next free entry for the caller to write, all 64 bytes; `nil` if the queue is full.
    package mutating func next() -> UnsafeMutableRawPointer? {
        guard room > 0 else { return nil }
        let entry = entries + ownTail.offset(mask: mask) * 64
        ownTail = ownTail.advanced(by: 1)
        return entry
    }

    /// Shows the kernel everything staged.
    /// - Returns: how many entries it has to take.
    package mutating func publish() -> Int {
        tail.pointee.store(ownTail.rawValue, ordering: .releasing)
        return stagedCount
    }
}
