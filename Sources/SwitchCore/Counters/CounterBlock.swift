public import Synchronization

/// The counters of one owner: a view of 48 words, six cache lines.
///
///     words  0..<24   one per `Counter`, in its order
///     words 24..<44   one per `DropReason`, in its order
///     words 44..<48   unused
///
/// Thread safety: one thread writes a block, with a relaxed load and a relaxed store, for which no
/// locked instruction is needed; any thread may read. Two writers would lose counts. A reader sees
/// each word whole, and the words of a block not at one instant.
@frozen
public struct CounterBlock: @unchecked Sendable {
    // Sendable: the words are accessed atomically; the table that made the view outlives it.
    @usableFromInline
    let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// Words of a block: a multiple of a cache line.
    @inlinable
    static var stride: Int { @_noLocks get { 48 } }

    @inlinable
    @_noLocks
    init(words: UnsafeMutablePointer<Atomic<UInt64>>) {
        self.words = words
    }

    /// Adds `amount` to a counter.
    @inlinable
    @_noLocks
    public func add(_ counter: Counter, _ amount: UInt64 = 1) {
        add(word: counter.word, amount)
    }

    /// Counts `frames` drops for `reason`.
    @inlinable
    @_noLocks
    public func add(dropped reason: DropReason, _ frames: UInt64 = 1) {
        add(word: reason.word, frames)
    }

    /// Takes `amount` from a gauge, which must hold it.
    @inlinable
    @_noLocks
    public func subtract(_ counter: Counter, _ amount: UInt64) {
        assert(self[counter] >= amount)
        add(word: counter.word, 0 &- amount)
    }

    /// Sets a gauge.
    @inlinable
    @_noLocks
    public func set(_ counter: Counter, to value: UInt64) {
        words[counter.word].store(value, ordering: .relaxed)
    }

    /// Raises a high-water mark to `value` if it is lower.
    @inlinable
    @_noLocks
    public func raise(_ counter: Counter, to value: UInt64) {
        if self[counter] < value { set(counter, to: value) }
    }

    /// Reads a counter; from any thread.
    @inlinable
    public subscript(counter: Counter) -> UInt64 {
        @_noLocks get { words[counter.word].load(ordering: .relaxed) }
    }

    /// Reads the drops for `reason`; from any thread.
    @inlinable
    public subscript(dropped reason: DropReason) -> UInt64 {
        @_noLocks get { words[reason.word].load(ordering: .relaxed) }
    }

    @inlinable
    @_noLocks
    func add(word: Int, _ amount: UInt64) {
        // Wraps after 2^64 frames or bytes: never, and a trap would need a branch per count.
        let value = words[word].load(ordering: .relaxed) &+ amount
        words[word].store(value, ordering: .relaxed)
    }
}
