// Theory of operation
//
// Quiescent-state-based reclamation. A worker that is online may hold pointers from
// `Published.read()`; at the end of each turn it holds none and says so. A grace period is over
// when every worker has said so, or has been offline, since the period began; then nobody holds
// what was replaced before it.
//
//     epoch        current: 1, 2, 3 ...         incremented by the writer to start a period
//     workers[n]   last epoch that worker n reported, or 0 while it is offline; one cache line each
//
// The token of a period is the epoch it created. The period is over when each worker's word is 0 or
// at least the token.
//
// Memory ordering. The writer: (W1) exchange the pointer, release; (W2) increment the epoch,
// acquire and release; (W3) full fence; (W4) load each worker's word, acquire. Let T be the token
// from W2.
//
// 1. Worker reports e >= T by quiescent(): it loaded the epoch with acquire and saw W2 or later, so
//    W1 happens before everything it does next, and its next read() returns the new value. What it
//    did before is ordered before its release store, which W4 acquired: all its accesses to the old
//    value happen before the writer frees it.
// 2. Worker is seen offline (0): its accesses before offline() happen before W4 by the release
//    store of zero. If it comes back, online() stores its epoch, then makes a full fence, then
//    read() loads the pointer. Of two full fences one comes first: if W3, then the load after the
//    worker's fence sees W1 and gets the new value; if the worker's, then W4 sees its nonzero word
//    and the period waits. (Unless that word is at least T; then online() had acquired W2 as in 1,
//    and its store, a release too, carries the accesses from before offline().)
// 3. Worker has reported e < T: the period is not over.
//
// Case 2 needs the fence, as the worker's store and load could otherwise change places; case 1 does
// not, so a turn that never sleeps pays one plain load and one plain store. membarrier(2) would
// save the fence of online() only, about 3 ns beside a blocking system call, and is not used.

public import Synchronization

/// Tells when every worker has let go of what was replaced.
///
/// A handle: copies mean the same words. Whoever made it calls `deallocate()` last.
///
/// Thread safety: `quiescent`, `offline` and `online` are called for worker n by the thread that is
/// worker n only; `start`, `isOver` and `wait` by any thread.
@frozen
public struct GracePeriod: @unchecked Sendable {
    // Sendable: all memory behind the pointers is accessed atomically and lives until deallocate().

    /// A grace period that has begun.
    @frozen
    public struct Token: Sendable, Hashable, Comparable {
        @usableFromInline
        let epoch: UInt64

        @inlinable
        init(epoch: UInt64) {
            self.epoch = epoch
        }

        /// True if `left` began before `right`.
        @inlinable
        public static func < (left: Token, right: Token) -> Bool { left.epoch < right.epoch }
    }

    /// Words from one worker's word to the next: a cache line, so that reports never collide.
    @inlinable
    static var stride: Int { @_noLocks get { 8 } }

    @usableFromInline
    let epoch: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline
    let workers: UnsafeMutablePointer<Atomic<UInt64>>

    /// How many workers there are.
    public let workerCount: Int

    /// Registers all workers, each offline.
    public init(workerCount: Int) {
        precondition(workerCount >= 0)
        self.workerCount = workerCount
        let words = (workerCount + 1) * Self.stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: words * 8, alignment: 64)
        epoch = memory.bindMemory(to: Atomic<UInt64>.self, capacity: words)
        for index in 0..<words { (epoch + index).initialize(to: Atomic(0)) }
        // Epoch 0 means offline, so the first one is 1.
        epoch.pointee.store(1, ordering: .relaxed)
        workers = epoch + Self.stride
    }

    /// Frees the words.
    /// - Precondition: no worker and no waiter is left.
    public func deallocate() {
        UnsafeMutableRawPointer(epoch).deallocate()
    }

    /// Worker `worker` holds no pointer from a `Published` any more, and remains online.
    @inlinable
    @_noLocks
    public func quiescent(_ worker: Int) {
        assert(isOnline(worker))
        // Acquire pairs with the increment in start(), release with the load in isOver(_:).
        let current = epoch.pointee.load(ordering: .acquiring)
        word(worker).pointee.store(current, ordering: .releasing)
    }

    /// Worker `worker` holds no pointer and will take none until `online`: no period waits for it.
    @inlinable
    @_noLocks
    public func offline(_ worker: Int) {
        assert(isOnline(worker))
        // Pairs with the load in isOver(_:).
        word(worker).pointee.store(0, ordering: .releasing)
    }

    /// Worker `worker` may take pointers again; call it before the first `read()` after waiting.
    @inlinable
    @_noLocks
    public func online(_ worker: Int) {
        assert(!isOnline(worker))
        let current = epoch.pointee.load(ordering: .acquiring)
        // Release: a writer may see this word instead of the zero that offline(_:) released.
        word(worker).pointee.store(current, ordering: .releasing)
        // Pairs with the fence in isOver(_:): the store above before the read() to come.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// True while worker `worker` takes part in grace periods.
    @inlinable
    @_noLocks
    public func isOnline(_ worker: Int) -> Bool {
        word(worker).pointee.load(ordering: .relaxed) != 0
    }

    /// Begins a grace period for everything replaced before this call.
    public func start() -> Token {
        // Pairs with the epoch loads in quiescent(_:) and online(_:).
        let (_, new) = epoch.pointee.wrappingAdd(1, ordering: .acquiringAndReleasing)
        return Token(epoch: new)
    }

    /// True once nobody can hold what was replaced before `token` was made. Never blocks.
    public func isOver(_ token: Token) -> Bool {
        // Pairs with the fence in online(_:): the pointer's exchange before the loads below.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        for worker in 0..<workerCount {
            // Pairs with the release stores in quiescent(_:) and offline(_:).
            let seen = word(worker).pointee.load(ordering: .acquiring)
            if seen != 0 && seen < token.epoch { return false }
        }
        return true
    }

    /// Waits until `isOver(token)`, calling `pause` between looks.
    /// - Parameter pause: gives the processor away, for example by a short sleep; this module makes
    ///   no system calls.
    public func wait(for token: Token, pause: () -> Void) {
        while !isOver(token) { pause() }
    }

    @inlinable
    @_noLocks
    func word(_ worker: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        assert(worker >= 0 && worker < workerCount)
        return workers + worker &* Self.stride
    }
}
