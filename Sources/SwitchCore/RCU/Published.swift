// Theory of operation
//
// `Published` is the pointer half of read-copy-update: readers take the current value with one
// acquire load and never wait, write or retry; the one writer replaces the whole value with one
// exchange. The old value comes back as `Retired`, to be reclaimed after a grace period (see
// GracePeriod.swift).
//
// Memory ordering: the exchange is a release, so everything that built the new value happens before
// any access by a reader whose acquire load returned it. It is also an acquire, because the writer
// may look at the value that it retires.

public import Synchronization

/// One value that many readers read while one writer replaces it.
///
/// A handle: copies mean the same cell. Whoever made it calls `deallocate()` last.
///
/// Thread safety: `read()` from any thread; `publish(_:)` from one writer at a time. A pointer from
/// `read()` is valid until the reader's next quiescent state.
@frozen
public struct Published<Value: ~Copyable>: @unchecked Sendable {
    // Sendable though it holds a pointer: the cell is only accessed atomically, and the values
    // behind it are shared read-only until a grace period has passed.
    @usableFromInline
    let cell: UnsafeMutablePointer<Atomic<UInt>>

    /// Publishes the first value.
    public init(_ value: consuming Value) {
        // A cache line of its own: readers share it and nothing else is written there.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        cell = memory.bindMemory(to: Atomic<UInt>.self, capacity: 1)
        cell.initialize(to: Atomic(Self.store(value)))
    }

    /// Frees the cell and the current value.
    /// - Precondition: no reader is left.
    public func deallocate() {
        let value = Self.pointer(cell.pointee.load(ordering: .acquiring))
        value.deinitialize(count: 1)
        value.deallocate()
        cell.deallocate()
    }

    /// The current value: one acquire load.
    @inlinable
    public func read() -> UnsafePointer<Value> {
        // Pairs with the exchange in publish(_:).
        UnsafePointer(Self.pointer(cell.pointee.load(ordering: .acquiring)))
    }

    /// Replaces the value; readers see the old one or the new one, whole.
    /// - Returns: the old value, to be reclaimed after a grace period started from now on.
    public func publish(_ value: consuming Value) -> Retired<Value> {
        // Pairs with the load in read().
        let old = cell.pointee.exchange(Self.store(value), ordering: .acquiringAndReleasing)
        return Retired(Self.pointer(old))
    }

    private static func store(_ value: consuming Value) -> UInt {
        let pointer = UnsafeMutablePointer<Value>.allocate(capacity: 1)
        pointer.initialize(to: value)
        return UInt(bitPattern: pointer)
    }

    @inlinable
    static func pointer(_ bits: UInt) -> UnsafeMutablePointer<Value> {
        // Never nil: only addresses that store(_:) allocated get into the cell.
        UnsafeMutablePointer(bitPattern: bits).unsafelyUnwrapped
    }
}

/// A value that has been replaced, and that readers may still be using.
///
/// It must be reclaimed; letting it go out of scope traps, because neither freeing it early nor
/// leaking it is ever meant.
@frozen
public struct Retired<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    // Sendable: the writer side is serial, and hands this on at most to the thread that reclaims.
    private let pointer: UnsafeMutablePointer<Value>

    fileprivate init(_ pointer: UnsafeMutablePointer<Value>) {
        self.pointer = pointer
    }

    deinit {
        Self.trapUnreclaimed()
    }

    /// Looks at the value before it goes.
    public func inspect<Result>(_ body: (borrowing Value) -> Result) -> Result {
        body(pointer.pointee)
    }

    /// Destroys the value and frees its memory.
    /// - Precondition: a grace period that was started after the value was replaced is over.
    public consuming func reclaim() {
        pointer.deinitialize(count: 1)
        pointer.deallocate()
        discard self
    }

    private static func trapUnreclaimed() {
        fatalError("a retired value was dropped without being reclaimed")
    }
}
