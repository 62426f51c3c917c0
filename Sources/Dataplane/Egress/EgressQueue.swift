// Frames that the kernel refused for now, waiting for one egress port.
//
// A byte ring in memory of its own: every frame stands contiguously behind a 16-byte header, so
// that a batch of them can be handed to sendmmsg without copying again. Bounded in bytes by its
// capacity and in time by `expire`: a frame that waited too long leaves from the head, since late
// frames help nobody.
//
//     +--------+---------+--------+---------+------+     header: length (UInt32), unused (UInt32),
//     | header | payload | header | payload | skip |             time of arrival (UInt64, ns)
//     +--------+---------+--------+---------+------+     payload padded to 16 bytes
//
// An entry that does not fit before the end of the memory starts again at offset 0; the gap is
// marked by a header with `skipLength`. An empty queue starts at offset 0 again, which keeps a
// lightly used queue in the cache.

internal import CShimsSystem
internal import Glibc

/// A bounded byte ring of frames for one egress port; owned by one worker.
struct EgressQueue: ~Copyable {
    /// Usable bytes, headers and padding included.
    let capacity: Int
    /// Frames waiting.
    private(set) var frameCount = 0
    /// Bytes of the waiting frames, without headers and padding.
    private(set) var byteCount = 0
    /// Bytes of the ring in use.
    private(set) var usedBytes = 0

    private let base: UnsafeMutableRawPointer
    private var head = 0
    private var tail = 0

    private static let headerLength = 16
    private static let skipLength = UInt32.max

    /// Reserves `capacity` bytes of address space; pages are taken from the system when first used.
    ///
    /// Traps when the address space is exhausted: the set-up of a port cannot go on without its
    /// queue.
    init(capacity: Int) {
        self.capacity = max(64, (capacity + 15) & ~15)
        let memory = mmap(
            nil, self.capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
            -1, 0)
        guard let memory, memory != MAP_FAILED else {
            fatalError("no address space for an egress queue of \(capacity) bytes")
        }
        base = memory
    }

    deinit { munmap(base, capacity) }

    var isEmpty: Bool { frameCount == 0 }

    /// Copies a frame, gathered from its two places, to the tail.
    /// - Parameter limit: bytes of the ring that may be in use afterwards; half the capacity for
    ///   flooded copies.
    /// - Returns: false when there is no room; nothing changed then.
    mutating func append(
        _ frame: cshims_gather, now: UInt64, limit: Int
    ) -> Bool {
        let length = frame.length
        let size = Self.headerLength + (length + 15) & ~15
        // A tail at the very end leaves no gap, and starts again at offset 0 all the same.
        let isWrapping = tail + size > capacity
        let gap = isWrapping ? capacity - tail : 0
        guard usedBytes + gap + size <= min(limit, capacity) else { return false }
        if isWrapping {
            if gap >= Self.headerLength {
                base.storeBytes(of: Self.skipLength, toByteOffset: tail, as: UInt32.self)
            }
            usedBytes += gap
            tail = 0
        }
        base.storeBytes(of: UInt32(length), toByteOffset: tail, as: UInt32.self)
        base.storeBytes(of: now, toByteOffset: tail + 8, as: UInt64.self)
        frame.copy(to: base + tail + Self.headerLength)
        tail += size
        usedBytes += size
        frameCount += 1
        byteCount += length
        return true
    }

    /// Fills `frames` with the frames at the head, oldest first; they stay in the queue.
    /// - Returns: how many there are, at most `frames.count`.
    func gather(into frames: UnsafeMutableBufferPointer<cshims_gather>) -> Int {
        var offset = head
        var count = 0
        while count < min(frames.count, frameCount) {
            offset = skippingGap(at: offset)
            let length = Int(base.load(fromByteOffset: offset, as: UInt32.self))
            frames[count] = cshims_gather(base + offset + Self.headerLength, length: length)
            offset += Self.headerLength + (length + 15) & ~15
            count += 1
        }
        return count
    }

    /// Removes the `count` oldest frames and returns the sum of their lengths.
    /// - Precondition: the queue holds at least `count` frames.
    @discardableResult
    mutating func removeFirst(_ count: Int) -> Int {
        precondition(count <= frameCount)
        let before = byteCount
        for _ in 0..<count { removeHead() }
        return before - byteCount
    }

    /// Removes every frame that arrived before `deadline` (nanoseconds) and returns how many these
    /// were.
    mutating func expire(before deadline: UInt64) -> Int {
        var count = 0
        while frameCount > 0 {
            let offset = skippingGap(at: head)
            guard base.load(fromByteOffset: offset + 8, as: UInt64.self) < deadline else { break }
            removeHead()
            count += 1
        }
        return count
    }

    private mutating func removeHead() {
        let offset = skippingGap(at: head)
        usedBytes -= offset < head ? capacity - head : offset - head
        let length = Int(base.load(fromByteOffset: offset, as: UInt32.self))
        let size = Self.headerLength + (length + 15) & ~15
        head = offset + size
        usedBytes -= size
        frameCount -= 1
        byteCount -= length
        if frameCount == 0 {
            head = 0
            tail = 0
            usedBytes = 0
        }
    }

    /// The offset of the entry that starts at `offset`, or 0 where the rest of the memory is a gap.
    private func skippingGap(at offset: Int) -> Int {
        if offset + Self.headerLength > capacity { return 0 }
        return base.load(fromByteOffset: offset, as: UInt32.self) == Self.skipLength ? 0 : offset
    }
}
