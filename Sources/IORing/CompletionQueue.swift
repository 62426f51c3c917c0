// Our end of the completion queue: completions from the head (ours) up to the tail (the kernel's).
//
// With DEFER_TASKRUN the kernel posts only inside our own io_uring_enter, so the queue stands still
// while it is read. The acquire load of the tail pairs with the kernel's release after writing
// completions; the release store of the head pairs with the kernel's acquire before it writes over
// them. The type is pure, like SubmissionQueue.

internal import Synchronization

/// The reaping side of the queue: copies completions out and frees their places.
///
/// Thread-safety: none; the ring's owner alone uses it.
package struct CompletionQueue: ~Copyable {
    private let entries: UnsafePointer<Completion>
    private let head: KernelWord
    private let tail: KernelWord
    private let mask: UInt32

    /// Takes over the queue at the position that its words hold.
    /// - Precondition: `capacity` is a power of two; the memory outlives the queue.
    package init(
        entries: UnsafeRawPointer, head: KernelWord, tail: KernelWord, capacity: Int
    ) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0)
        precondition(MemoryLayout<Completion>.stride == 16)
        self.entries = entries.assumingMemoryBound(to: Completion.self)
        self.head = head
        self.tail = tail
        mask = UInt32(capacity - 1)
    }

    /// How many completions the queue holds.
    package var capacity: Int { Int(mask) + 1 }

    /// Moves completions out, oldest first, in at most two copies.
    /// - Returns: how many: all there are, or as many as `completions` holds.
    package mutating func reap(into completions: UnsafeMutableBufferPointer<Completion>) -> Int {
        let first = RingIndex(head.pointee.load(ordering: .relaxed))
        let last = RingIndex(tail.pointee.load(ordering: .acquiring))
        let count = min(last.distance(from: first), completions.count)
        guard count > 0, let destination = completions.baseAddress else { return 0 }
        let offset = first.offset(mask: mask)
        let untilWrap = min(count, capacity - offset)
        destination.update(from: entries + offset, count: untilWrap)
        if untilWrap < count {
            (destination + untilWrap).update(from: entries, count: count - untilWrap)
        }
        head.pointee.store(first.advanced(by: count).rawValue, ordering: .releasing)
        return count
    }
}
