// A provided-buffer ring and the pool behind it: memory that the kernel receives frames into.
//
// Two mappings. The ring is an array of 16-byte entries read by the kernel; its tail lives in the
// spare half-word of entry 0, so entries are written field by field:
//
//     offset 0   UInt64  address of the buffer   we write, the kernel reads
//     offset 8   UInt32  length of the buffer    we write, the kernel reads
//     offset 12  UInt16  buffer id               we write, the kernel reads
//     offset 14  UInt16  entry 0 only: the tail  one release store a batch (`publish`), pairs with
//                                                the kernel's acquire when it picks a buffer
//
// The pool is `count` strides; every stride begins with 16 bytes of headroom, so that a header can
// be put before a frame in place. Where the file itself puts a header before each frame, the
// kernel's buffer begins `prefix` bytes earlier, so that frames of all files begin at one place:
//
//     | headroom 16 | bufferLength ... | pad |
//         | prefix  |
//
// A stride is an odd number of cache lines. Then the first lines of the buffers spread over all
// sets of the L1 cache, where a stride that is a multiple of 4096 would put all of them into the
// same set.
//
// Buffers may be withheld: the entries of the last `withheld` that were given back are written, and
// the tail that the kernel sees stays before them. A receive that finds no other buffer ends with
// -ENOBUFS, and what it would have received waits in the socket. What the kernel has seen cannot be
// taken back.
//
// The kernel writes into the pool as long as a receive of the group is armed and the group is
// registered. Freeing it earlier corrupts whatever the memory is used for next, so a registered
// pool traps when it is destroyed.

internal import CShimsRing
public import Synchronization

/// A group of receive buffers that a ring's multishot requests choose from.
///
/// A buffer is the kernel's after `giveBack` and `publish`, and the owner's from the completion
/// that names it.
///
/// Thread-safety: none; it belongs to the owner of the ring it is registered with.
///
/// Source: io_uring_setup_buf_ring(3), io_uring_buf_ring_add(3).
public struct BufferRing: ~Copyable, @unchecked Sendable {
    // Sendable: one owner (~Copyable), moved between threads like the ring.

    /// Bytes kept free in front of every frame.
    @inlinable public static var headroom: Int { 16 }

    /// The number by which receives name this group.
    public let group: UInt16

    /// How many buffers there are; their ids are 0 ..< `count`.
    public let count: Int

    /// Bytes of a frame that the kernel may write to a buffer.
    public let bufferLength: Int

    /// Bytes that the kernel writes before each frame, counted in the results of its completions.
    public let prefix: Int

    /// Bytes from one frame's address to that of the next id.
    public let stride: Int

    /// Bytes of pool memory.
    public let poolLength: Int

    /// Whether a ring may be writing into the pool.
    public private(set) var isRegistered = false

    @usableFromInline let entries: UnsafeMutableRawPointer
    @usableFromInline let pool: UnsafeMutableRawPointer
    @usableFromInline var tail: UInt16 = 0
    /// The tail that the kernel sees.
    @usableFromInline var shownTail: UInt16 = 0

    /// How many of the buffers that are given back the kernel is not shown, from the next `publish`
    /// on; at most `count`.
    public var withheld: UInt16 = 0

    private let entriesLength: Int

    /// Maps the memory; the kernel knows nothing of it until `register`.
    /// - Precondition: `count` is a power of two up to 32,768, `bufferLength` is positive and
    ///   `prefix` is in 0 ... `headroom`.
    /// - Throws: `RingError.outOfMemory` or `.systemCall`.
    public init(
        group: UInt16, count: Int, bufferLength: Int, prefix: Int = 0
    ) throws(RingError) {
        precondition(count > 0 && count <= 32_768 && count & (count - 1) == 0)
        precondition(prefix >= 0 && prefix <= BufferRing.headroom)
        precondition(bufferLength > 0 && bufferLength <= Int(Int32.max))
        let hugePage = 2 << 20
        let stride = BufferRing.stride(bufferLength: bufferLength)
        let isHuge = count * stride >= hugePage
        let poolLength = BufferRing.roundUp(count * stride, to: isHuge ? hugePage : 4096)
        let entriesLength = BufferRing.roundUp(count * 16, to: 4096)
        let entries = try BufferRing.map(entriesLength, huge: false)
        do throws(RingError) {
            pool = try BufferRing.map(poolLength, huge: isHuge)
        } catch {
            cshims_memory_unmap(entries, UInt64(entriesLength))
            throw error
        }
        self.entries = entries
        self.group = group
        self.count = count
        self.bufferLength = bufferLength
        self.prefix = prefix
        self.stride = stride
        self.poolLength = poolLength
        self.entriesLength = entriesLength
    }

    /// Unmaps the pool.
    /// - Precondition: it is not registered; else the kernel would write into memory of others.
    deinit {
        precondition(!isRegistered, "a registered buffer ring must be unregistered before its end")
        cshims_memory_unmap(pool, UInt64(poolLength))
        cshims_memory_unmap(entries, UInt64(entriesLength))
    }

    /// Gives the ring all buffers of this group.
    /// - Precondition: it is not registered yet.
    /// - Throws: `RingError`; EEXIST if the group's number is taken or the thread is not the owner.
    public mutating func register(with ring: inout Ring) throws(RingError) {
        precondition(!isRegistered)
        let status = cshims_ring_register_buffers(ring.handle, entries, UInt32(count), group)
        guard status == 0 else {
            throw RingError.describing(
                status: status, call: "io_uring_register (buffer ring)", on: SystemFacts.read())
        }
        isRegistered = true
        tail = 0  // the kernel begins at index 0 with every registration
        shownTail = 0
        withheld = 0
        for id in 0..<count { giveBack(UInt16(id)) }
        publish()
    }

    /// Takes the group from the ring; all buffers are the owner's again.
    ///
    /// Receives of the group that are still armed end with -ENOBUFS at their next datagram; cancel
    /// them and reap their last completions before.
    /// - Precondition: it is registered with this ring.
    /// - Throws: `RingError.systemCall`; it then stays registered.
    public mutating func unregister(from ring: inout Ring) throws(RingError) {
        precondition(isRegistered)
        let status = cshims_ring_unregister_buffers(ring.handle, group)
        guard status == 0 else { throw .systemCall("io_uring_register (buffer ring)", -status) }
        isRegistered = false
    }

    /// The first byte of the frame in a buffer. Of the `headroom` bytes before it the last `prefix`
    /// are the kernel's to write, the others are zero until the owner writes them.
    /// - Precondition: `id` is in 0 ..< `count`.
    @inlinable
    public func address(of id: UInt16) -> UnsafeMutableRawPointer {
        precondition(Int(id) < count)
        return pool + (Int(id) &* stride &+ BufferRing.headroom)
    }

    /// Hands a buffer to the kernel, which sees it at the next `publish`.
    /// - Precondition: the buffer is the owner's: named by a completion and not given back since.
    @inlinable
    public mutating func giveBack(_ id: UInt16) {
        let entry = entries + (Int(tail) & (count &- 1)) &* 16
        // Not the last two bytes: in entry 0 they are the tail.
        entry.storeBytes(of: UInt64(UInt(bitPattern: address(of: id) - prefix)), as: UInt64.self)
        entry.storeBytes(
            of: UInt32(truncatingIfNeeded: bufferLength &+ prefix), toByteOffset: 8,
            as: UInt32.self)
        entry.storeBytes(of: id, toByteOffset: 12, as: UInt16.self)
        tail &+= 1
    }

    /// Shows the kernel every buffer given back but those that are withheld: one release store.
    @inlinable
    public mutating func publish() {
        guard tail &- shownTail > withheld else { return }
        shownTail = tail &- withheld
        (entries + 14).assumingMemoryBound(to: Atomic<UInt16>.self).pointee
            .store(shownTail, ordering: .releasing)
    }

    /// Fills the pool with 0xDB, so that a test sees who writes into it later.
    public func poison() {
        pool.initializeMemory(as: UInt8.self, repeating: 0xDB, count: poolLength)
    }

    /// Whether nobody has written to the pool since `poison`.
    public func isPoisonIntact() -> Bool {
        UnsafeRawBufferPointer(start: pool, count: poolLength).allSatisfy { $0 == 0xDB }
    }

    /// The stride of a pool: headroom and buffer in whole cache lines, an odd number of them.
    package static func stride(bufferLength: Int) -> Int {
        let lines = (headroom + bufferLength + 63) / 64
        return (lines | 1) * 64
    }

    private static func roundUp(_ length: Int, to unit: Int) -> Int {
        (length + unit - 1) / unit * unit
    }

    private static func map(_ length: Int, huge: Bool) throws(RingError) -> UnsafeMutableRawPointer
    {
        var memory: UnsafeMutableRawPointer?
        let status = cshims_memory_map(UInt64(length), huge, &memory)
        guard status == 0, let memory else {
            throw RingError.describing(status: status, call: "mmap", on: SystemFacts.read())
        }
        return memory
    }
}
