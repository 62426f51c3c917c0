// Frames on their way from the worker that received them to the worker that owns the egress port.
//
// A bounded single-producer single-consumer byte ring, one for each ordered pair of workers. The
// producer copies the frame in; the consumer sends straight from the ring and releases the bytes
// when the kernel has taken them. All of it lies in one allocation, each line with one writer:
//
//     byte   0   shared tail                   written by the producer, read by both
//     byte  64   shared head                   written by the consumer, read by both
//     byte 128   tail, last head seen          the producer's own
//     byte 192   cursor                        the consumer's own
//     byte 256   the bytes
//
// Memory ordering: the producer writes a record and then stores the shared tail with release; the
// consumer loads it with acquire and so sees the whole record. The consumer stores the shared head
// with release after its last read of a record; the producer loads it with acquire before it writes
// over those bytes.
//
// A struct over a pointer and not a class: workers call it for each frame, and a class would cost
// reference counts and exclusivity checks there.

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
    /// Generation of the egress port when the verdict was made. Of a flood: how many copies it
    /// stands for.
    var generationOrCopies: UInt32
    /// The frame counts among those of its port that cross.
    var isCounted = false

    static let flood = UInt16.max
    static let skip = UInt16.max - 1
}

/// A bounded byte ring from one worker to another.
///
/// A handle: copies mean the same memory. Whoever made it calls `deallocate()` last.
///
/// Thread-safety: `append` and `publish` from the producing worker only, `next`, `isEmpty` and
/// `release` from the consuming worker only; the memory ordering above makes that enough, which is
/// the argument for `@unchecked Sendable`.
struct HandoverRing: @unchecked Sendable {
    private struct Producer {
        var tail: UInt64 = 0
        var knownHead: UInt64 = 0
    }

    private static var line: Int { 64 }
    /// The record, and up to the frame its virtio header.
    private static var headerLength: Int { 32 }

    private let memory: UnsafeMutableRawPointer
    private let capacity: UInt64

    /// - Parameter capacity: bytes, a power of two; a frame of up to half of it always fits
    ///   sometime.
    init(capacity: Int) {
        precondition(capacity >= 64 && capacity & (capacity - 1) == 0)
        self.capacity = UInt64(capacity)
        memory = .allocate(byteCount: capacity + 4 * Self.line, alignment: Self.line)
        sharedTail.initialize(to: Atomic(0))
        sharedHead.initialize(to: Atomic(0))
        producer.initialize(to: Producer())
        cursor.initialize(to: 0)
    }

    /// Frees the memory. Nobody may use the ring afterwards.
    func deallocate() { memory.deallocate() }

    /// Copies a frame and the virtio header before it in; the consumer sees them after `publish`.
    /// - Returns: false when there is no room.
    func append(_ record: HandoverRecord, frame: UnsafeRawPointer) -> Bool {
        let size = Self.size(of: record.length)
        var tail = producer.pointee.tail
        var offset = tail & (capacity - 1)
        let gap = offset + size > capacity ? capacity - offset : 0
        if tail &+ gap &+ size &- producer.pointee.knownHead > capacity {
            // Pairs with the store in `release`.
            let head = sharedHead.pointee.load(ordering: .acquiring)
            producer.pointee.knownHead = head
            guard tail &+ gap &+ size &- head <= capacity else { return false }
        }
        if gap > 0 {
            // Sizes are multiples of 16, so a gap always has room for a record.
            write(
                HandoverRecord(
                    length: 0, ingress: record.ingress, egress: HandoverRecord.skip,
                    generationOrCopies: 0), at: offset)
            tail &+= gap
            offset = 0
        }
        write(record, at: offset)
        let header = VirtioNetHeader.length
        (base + (Int(offset) + Self.headerLength - header)).copyMemory(
            from: frame - header, byteCount: Int(record.length) + header)
        producer.pointee.tail = tail &+ size
        return true
    }

    /// Shows the consumer everything appended so far.
    func publish() {
        // Pairs with the loads in `next` and `isEmpty`.
        sharedTail.pointee.store(producer.pointee.tail, ordering: .releasing)
    }

    /// The next record after those already taken, with the address of its frame, which has its
    /// virtio header before it; it stays, and is the consumer's to write, until `release`.
    func next() -> (record: HandoverRecord, frame: UnsafeMutableRawPointer)? {
        let end = sharedTail.pointee.load(ordering: .acquiring)
        while cursor.pointee != end {
            let offset = Int(cursor.pointee & (capacity - 1))
            let record = base.load(fromByteOffset: offset, as: HandoverRecord.self)
            if record.egress == HandoverRecord.skip {
                cursor.pointee &+= capacity - UInt64(offset)
                continue
            }
            cursor.pointee &+= Self.size(of: record.length)
            return (record, base + (offset + Self.headerLength))
        }
        return nil
    }

    /// Lets `next` begin again with the first record that has not been released.
    func rewind() { cursor.pointee = sharedHead.pointee.load(ordering: .relaxed) }

    /// Gives the bytes of all records taken by `next` back to the producer.
    func release() {
        // Pairs with the load in `append`.
        sharedHead.pointee.store(cursor.pointee, ordering: .releasing)
    }

    /// Whether the consumer has taken everything that was published. Call from the consumer.
    var isEmpty: Bool { sharedTail.pointee.load(ordering: .acquiring) == cursor.pointee }

    private var sharedTail: UnsafeMutablePointer<Atomic<UInt64>> {
        memory.assumingMemoryBound(to: Atomic<UInt64>.self)
    }
    private var sharedHead: UnsafeMutablePointer<Atomic<UInt64>> {
        (memory + Self.line).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
    private var producer: UnsafeMutablePointer<Producer> {
        (memory + 2 * Self.line).assumingMemoryBound(to: Producer.self)
    }
    private var cursor: UnsafeMutablePointer<UInt64> {
        (memory + 3 * Self.line).assumingMemoryBound(to: UInt64.self)
    }
    private var base: UnsafeMutableRawPointer { memory + 4 * Self.line }

    private func write(_ record: HandoverRecord, at offset: UInt64) {
        base.storeBytes(of: record, toByteOffset: Int(offset), as: HandoverRecord.self)
    }

    private static func size(of length: UInt32) -> UInt64 {
        UInt64(headerLength) + (UInt64(length) + 15) & ~15
    }
}
