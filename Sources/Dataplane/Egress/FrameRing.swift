// Where frames lie that wait: a byte ring of which any frame may leave.
//
//     +--------+---------+--------+---------+------+     header: `StoredFrame`, 32 bytes
//     | header | payload | header | payload | skip |     payload: padded to 16 bytes
//     +--------+---------+--------+---------+------+
//
// Every frame stands contiguously, so that a batch of them can be handed to sendmmsg without
// copying again. A frame that leaves before older ones makes a hole, which is room again once all
// older frames have left; frames wait for a bounded time, so a hole does. The ring has twice the
// bytes that the frames may have, which leaves as much for holes. Where that is not enough, the
// frame that comes finds no room.
//
// An entry that does not fit before the end of the memory starts again at offset 0; the gap is
// marked by a header with `skipLength`. An empty ring starts at offset 0 again, which keeps a
// lightly used one in the cache.

internal import CShimsSystem
internal import Glibc

/// The header of a frame in a `FrameRing`.
struct StoredFrame {
    enum State: UInt8 {
        /// In the list of its flow.
        case waiting
        /// Chosen to be sent next.
        case chosen
        /// A hole.
        case gone
    }

    /// Bytes of the frame.
    var length: UInt32
    /// The next frame of its flow, or `FrameRing.none`.
    var next: UInt32
    /// When it came, in nanoseconds.
    var time: UInt64
    var flow: UInt16
    var state: State
    /// The port by which it came in.
    var ingress: UInt16 = 0
    /// Where it counts as a waiting frame of its source, if it does.
    var count: WaitingCount?

    /// Bytes of the ring that a frame of `length` bytes takes, its header included.
    static func size(ofFrame length: Int) -> Int { headerLength &+ (length &+ 15) & ~15 }

    static var headerLength: Int { 32 }
}

/// Memory for frames of one egress port; owned by one worker.
struct FrameRing: ~Copyable {
    /// No frame.
    static var none: UInt32 { .max }
    /// Frames in the ring.
    private(set) var count = 0
    /// Bytes of these frames with headers and padding.
    private(set) var usedBytes = 0

    private let base: UnsafeMutableRawPointer
    private let capacity: Int
    private var head = 0
    private var tail = 0
    /// Bytes between head and tail: frames, holes and gaps.
    private var span = 0
    /// Bytes from the start that may have taken memory.
    private var touched = 0

    /// Bytes whose memory an empty ring keeps.
    private static var keptBytes: Int { 256 << 10 }

    private static var skipLength: UInt32 { .max }

    /// Reserves address space for `bytes` of frames; pages are taken from the system when first
    /// used.
    ///
    /// Traps when the address space is exhausted: the set-up of a port cannot go on without it.
    init(bytes: Int) {
        capacity = 2 * max(64, (bytes + 15) & ~15)
        let memory = mmap(
            nil, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
            -1, 0)
        guard let memory, memory != MAP_FAILED else {
            fatalError("no address space for an egress queue of \(bytes) bytes")
        }
        base = memory
    }

    deinit { munmap(base, capacity) }

    /// The header of the frame at `offset`.
    func header(_ offset: UInt32) -> UnsafeMutablePointer<StoredFrame> {
        (base + Int(offset)).assumingMemoryBound(to: StoredFrame.self)
    }

    /// The first byte of the frame at `offset`.
    func payload(_ offset: UInt32) -> UnsafeMutableRawPointer {
        base + Int(offset) + StoredFrame.headerLength
    }

    /// The frame that came first.
    var oldest: UInt32? {
        count == 0 ? nil : UInt32(truncatingIfNeeded: head)
    }

    /// Copies a frame, gathered from its two places, to the tail.
    /// - Returns: its offset, or `nil` when there is no room; nothing changed then.
    mutating func append(
        _ frame: cshims_gather, flow: UInt16, now: UInt64, counting count: WaitingCount? = nil
    ) -> UInt32? {
        let size = StoredFrame.size(ofFrame: frame.length)
        // A tail at the very end leaves no gap, and starts again at offset 0 all the same.
        let isWrapping = tail &+ size > capacity
        let gap = isWrapping ? capacity &- tail : 0
        guard span &+ gap &+ size <= capacity else { return nil }
        if isWrapping {
            if gap >= StoredFrame.headerLength {
                base.storeBytes(of: Self.skipLength, toByteOffset: tail, as: UInt32.self)
            }
            span &+= gap
            tail = 0
        }
        let offset = UInt32(truncatingIfNeeded: tail)
        header(offset).initialize(
            to: StoredFrame(
                length: UInt32(truncatingIfNeeded: frame.length), next: Self.none, time: now,
                flow: flow, state: .waiting, count: count))
        frame.copy(to: payload(offset))
        tail &+= size
        touched = max(touched, tail)
        span &+= size
        usedBytes &+= size
        self.count &+= 1
        return offset
    }

    /// Whether an empty ring holds much memory that it may not need soon.
    var mayBeTrimmed: Bool { touched > Self.keptBytes }

    /// Gives most of the memory of an empty ring back to the system.
    /// - Precondition: there are no frames in it.
    mutating func trim() {
        precondition(count == 0)
        madvise(base + Self.keptBytes, touched &- Self.keptBytes, MADV_DONTNEED)
        touched = Self.keptBytes
    }

    /// Shows the offset of every frame, from the oldest on.
    func visit(_ body: (UInt32) -> Void) {
        var (offset, left) = (head, count)
        while left > 0 {
            if offset &+ StoredFrame.headerLength > capacity
                || base.load(fromByteOffset: offset, as: UInt32.self) == Self.skipLength
            {
                offset = 0
            }
            let frame = header(UInt32(truncatingIfNeeded: offset))
            if frame.pointee.state != .gone {
                body(UInt32(truncatingIfNeeded: offset))
                left &-= 1
            }
            offset &+= StoredFrame.size(ofFrame: Int(frame.pointee.length))
        }
    }

    /// Makes a hole of the frame at `offset`, and room of all holes at the head.
    mutating func remove(_ offset: UInt32) {
        let frame = header(offset)
        frame.pointee.state = .gone
        usedBytes &-= StoredFrame.size(ofFrame: Int(frame.pointee.length))
        count &-= 1
        guard count > 0 else {
            head = 0
            tail = 0
            span = 0
            return
        }
        while header(UInt32(truncatingIfNeeded: head)).pointee.state == .gone { advanceHead() }
    }

    /// Moves the head behind its entry and over a gap that may follow.
    private mutating func advanceHead() {
        let length = base.load(fromByteOffset: head, as: UInt32.self)
        let size = StoredFrame.size(ofFrame: Int(length))
        head &+= size
        span &-= size
        let isGap =
            head &+ StoredFrame.headerLength > capacity
            || base.load(fromByteOffset: head, as: UInt32.self) == Self.skipLength
        if isGap {
            span &-= capacity &- head
            head = 0
        }
    }
}
