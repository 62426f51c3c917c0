public import Synchronization

/// All counters of a switch: two blocks a port and one a worker, allocated once.
///
/// A port has one block that its worker writes and one that the control plane writes, because each
/// word has one writer; readers see the sum. Counters of a port live as long as the switch and are
/// never set back, so rates can be computed over any interval.
///
/// A handle: copies mean the same memory. Whoever made it calls `deallocate()` last.
@frozen
public struct CounterTable: @unchecked Sendable {
    // Sendable: the memory is accessed atomically and lives until deallocate().
    @usableFromInline
    let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// How many ports have counters.
    public let portCapacity: Int
    /// How many workers have counters.
    public let workerCount: Int

    private let ownsMemory: Bool

    /// Makes all blocks, at zero.
    /// - Parameter memory: where they are to lie, on a page's border and at least `byteCount` bytes
    ///   of zeros, which stay the caller's; nil: in memory of the table's own.
    public init(
        portCapacity: Int, workerCount: Int, memory given: UnsafeMutableRawPointer? = nil
    ) {
        precondition(portCapacity > 0 && portCapacity <= PortID.capacityMax && workerCount >= 0)
        // Adding a case to either enum must not make their words meet.
        precondition(Counter.allCases.allSatisfy { $0.word < DropReason.runt.word })
        precondition(DropReason.allCases.allSatisfy { $0.word < CounterBlock.stride })
        self.portCapacity = portCapacity
        self.workerCount = workerCount
        let byteCount = Self.byteCount(portCapacity: portCapacity, workerCount: workerCount)
        let count = byteCount / 8
        ownsMemory = given == nil
        let memory = given ?? .allocate(byteCount: byteCount, alignment: 64)
        words = memory.bindMemory(to: Atomic<UInt64>.self, capacity: count)
        for index in 0..<count { (words + index).initialize(to: Atomic(0)) }
    }

    /// Bytes that the blocks of so many ports and workers take.
    public static func byteCount(portCapacity: Int, workerCount: Int) -> Int {
        (2 * portCapacity + workerCount) * CounterBlock.stride * 8
    }

    /// Words of a block.
    public static var blockStride: Int { CounterBlock.stride }

    /// What the words of a block count, by their place; empty where a word is not used.
    public static var wordNames: [String] {
        var names = Array(repeating: "", count: CounterBlock.stride)
        for counter in Counter.allCases { names[counter.word] = counter.name }
        for reason in DropReason.allCases { names[reason.word] = reason.name }
        return names
    }

    /// Every word, in the order in which they lie in memory.
    @_spi(Testing)
    public var allWords: [UInt64] {
        (0..<(2 * portCapacity + workerCount) * CounterBlock.stride).map {
            words[$0].load(ordering: .relaxed)
        }
    }

    /// Sets every word, in the order in which they lie in memory. Nobody may be counting.
    /// - Precondition: there are at least as many.
    public func fill(_ values: [UInt64]) {
        let count = (2 * portCapacity + workerCount) * CounterBlock.stride
        precondition(values.count >= count)
        for index in 0..<count { words[index].store(values[index], ordering: .relaxed) }
    }

    /// Frees the blocks.
    /// - Precondition: nobody uses a block any more.
    public func deallocate() {
        if ownsMemory { UnsafeMutableRawPointer(words).deallocate() }
    }

    /// The block of `port` that the worker that owns the port writes.
    @inlinable
    @_noLocks
    public func block(port: PortID) -> CounterBlock {
        let index = port.index
        precondition(index < portCapacity)
        return CounterBlock(words: words + index &* CounterBlock.stride)
    }

    /// The block of `port` that the control plane writes.
    @inlinable
    public func controlBlock(port: PortID) -> CounterBlock {
        let index = port.index
        precondition(index < portCapacity)
        return CounterBlock(words: words + (portCapacity + index) * CounterBlock.stride)
    }

    /// The block that worker `worker` writes about itself.
    @inlinable
    @_noLocks
    public func workerBlock(_ worker: Int) -> CounterBlock {
        let count = workerCount
        precondition(worker >= 0 && worker < count)
        return CounterBlock(words: words + (2 &* portCapacity &+ worker) &* CounterBlock.stride)
    }

    /// The counters of `port`, of both its writers together.
    public func snapshot(port: PortID) -> CounterSnapshot {
        var sum = CounterSnapshot(block(port: port))
        sum.merge(CounterSnapshot(controlBlock(port: port)))
        return sum
    }

    /// The counters of all ports and workers together.
    public func snapshot() -> CounterSnapshot {
        var sum = CounterSnapshot()
        for index in 0..<portCapacity { sum.merge(snapshot(port: PortID(index: index))) }
        for worker in 0..<workerCount { sum.merge(CounterSnapshot(workerBlock(worker))) }
        return sum
    }
}
