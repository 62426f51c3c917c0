// Frames on their way from the worker that received them to the worker that owns the egress port.
//
// A bounded single-producer single-consumer byte ring, one for each ordered pair of workers. The producer copies the
// frame in; the consumer sends straight from the ring and releases the bytes when the kernel has taken them.
//
// Memory ordering: the producer writes a record and then stores `tail` with release; the consumer loads `tail` with
// acquire and so sees the whole record. The consumer stores `head` with release after its last read of a record; the
// producer loads `head` with acquire before it writes over those bytes. Each word has one writer and a line of its own.

internal import SwitchCore
internal import Synchronization

/// What the producer knows of a frame that it hands over.
struct HandoverRecord {
    /// Length of the frame in bytes.
    var length: UInt32
    /// The port that it came in by.
    var ingress: PortID
    /// The port that it goes out by, or `flood` for every eligible port of the consumer.
    var egress: UInt16
    /// Generation of the egress port when the verdict was made. Of a flood: how many copies it stands for.
    var generationOrCopies: UInt32

    static let flood = UInt16.max
    static let skip = UInt16.max - 1
}

/// A bounded byte ring from one worker to another.
///
/// Thread-safety: `append` and `publish` from the producing worker only, `next` and `release` from the consuming
/// worker only; the memory ordering above makes that enough, which is the argument for `@unchecked Sendable`.
final class HandoverRing: @unchecked Sendable {
    private static let line = 64
    private static let headerLength = 16

    private let memory: UnsafeMutableRawPointer
    private let base: UnsafeMutableRawPointer
    private let capacity: UInt64
    private let sharedTail: UnsafeMutablePointer<Atomic<UInt64>>
    private let sharedHead: UnsafeMutablePointer<Atomic<UInt64>>

    // Producer's own.
    private var tail: UInt64 = 0
    private var knownHead: UInt64 = 0
    // Consumer's own, kept apart from the producer's line by the padding.
    private var padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) =
        (0, 0, 0, 0, 0, 0, 0, 0)
    private var cursor: UInt64 = 0

    /// - Parameter capacity: bytes, a power of two.
    init(capacity: Int) {
        precondition(capacity & (capacity - 1) == 0)
        self.capacity = UInt64(capacity)
        memory = .allocate(byteCount: capacity + 2 * Self.line, alignment: Self.line)
        sharedTail = memory.bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        sharedTail.initialize(to: Atomic(0))
        sharedHead = (memory + Self.line).bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        sharedHead.initialize(to: Atomic(0))
        base = memory + 2 * Self.line
    }

    deinit {
        sharedTail.deinitialize(count: 1)
        sharedHead.deinitialize(count: 1)
        memory.deallocate()
    }

    /// Copies a frame in; the consumer sees it after `publish`.
    /// - Returns: false when there is no room.
    func append(_ record: HandoverRecord, frame: UnsafeRawPointer) -> Bool {
        let size = Self.size(of: record.length)
        var offset = tail & (capacity - 1)
        let gap = offset + size > capacity ? capacity - offset : 0
        if tail &+ gap &+ size &- knownHead > capacity {
            knownHead = sharedHead.pointee.load(ordering: .acquiring)
            guard tail &+ gap &+ size &- knownHead <= capacity else { return false }
        }
        if gap > 0 {
            // Sizes are multiples of 16, so a gap always has room for a header.
            write(HandoverRecord(length: 0, ingress: record.ingress, egress: HandoverRecord.skip, generationOrCopies: 0),
                at: offset)
            tail &+= gap
            offset = 0
        }
        write(record, at: offset)
        (base + Int(offset) + Self.headerLength).copyMemory(from: frame, byteCount: Int(record.length))
        tail &+= size
        return true
    }

    /// Shows the consumer everything appended so far.
    func publish() { sharedTail.pointee.store(tail, ordering: .releasing) }

    /// The next record after those already taken, with the address of its frame; it stays until `release`.
    func next() -> (record: HandoverRecord, frame: UnsafeRawPointer)? {
        let end = sharedTail.pointee.load(ordering: .acquiring)
        while cursor != end {
            let offset = Int(cursor & (capacity - 1))
            let record = base.load(fromByteOffset: offset, as: HandoverRecord.self)
            if record.egress == HandoverRecord.skip {
                cursor &+= capacity - UInt64(offset)
                continue
            }
            cursor &+= Self.size(of: record.length)
            return (record, UnsafeRawPointer(base + offset + Self.headerLength))
        }
        return nil
    }

    /// Gives the bytes of all records taken by `next` back to the producer.
    func release() { sharedHead.pointee.store(cursor, ordering: .releasing) }

    /// Whether the consumer has taken everything that was published. Call from the consumer.
    var isEmpty: Bool { sharedTail.pointee.load(ordering: .acquiring) == cursor }

    private func write(_ record: HandoverRecord, at offset: UInt64) {
        base.storeBytes(of: record, toByteOffset: Int(offset), as: HandoverRecord.self)
    }

    private static func size(of length: UInt32) -> UInt64 {
        UInt64(headerLength) + (UInt64(length) + 15) & ~15
    }
}
