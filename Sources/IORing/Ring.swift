// io_uring for one worker.
//
// Theory of operation. A ring belongs to one thread. It is created anywhere (Control, where an
// error can still be told to a person), disabled; `enable` on the worker's thread makes that thread
// its only submitter. From then on every call comes from that thread: the kernel answers others
// with -EEXIST, registrations included. Before `enable`, files and buffer rings may be registered
// by any thread.
//
// A turn of the owner is: `enter` (submits what is staged, runs the kernel's deferred work, waits),
// `reap` (copies completions out), then `stage` for the sends of the turn and `enter` again.
// Completions appear only inside `enter` (DEFER_TASKRUN), so nothing moves under a turn.
//
// What the kernel promises, and a test holds it to (Tests/IORingTests):
//  - Staged sends and TAP writes end inside the enter that submits them, in order; only failures
//    answer.
//  - A multishot request may end at any completion without `hasMore`: a zero-length datagram,
//    -ENOBUFS (nothing is lost, the datagram waits in the socket), an overflowing completion queue.
//    Arm it again.
//  - A receive reports the real length of a datagram that its buffer cut; a TAP read does not.
//  - Clearing a file slot does not end what is armed on it. Cancel first, reap the last completion
//    of each request, then clear the slot, then unregister the buffers, then free.
//
// Not used, with reasons: linked entries (order), SQPOLL (135 % CPU against 36 %, excludes
// DEFER_TASKRUN), bundles (they glue datagrams together), incremental buffers (they cut datagrams),
// zero copy (refused by AF_UNIX), waiting for more than one completion (deferred work then wakes
// nobody until all are there).

internal import CShimsRing
internal import Synchronization

/// A submission and a completion queue shared with the kernel, and a table of registered files.
///
/// Thread-safety: one owner, the thread that called `enable`; a ring may move to another thread
/// before.
///
/// Source: io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
public struct Ring: ~Copyable, @unchecked Sendable {
    // Sendable: a ring has one owner (~Copyable) and every use needs that owner, so it is moved
    // between threads, never shared. The kernel refuses the wrong thread by itself (SINGLE_ISSUER).

    let handle: OpaquePointer
    var submissions: SubmissionQueue
    private var completions: CompletionQueue

    /// How many files can be registered at once: slots are 0 ..< `fileSlots`.
    public let fileSlots: Int

    /// Creates a ring that does nothing until `enable`.
    ///
    /// Both queues are rounded up to powers of two and held to the kernel's limits. Give the
    /// completion queue at least one place for every receive buffer and every staged send, then it
    /// cannot overflow.
    /// - Precondition: the completion queue is no smaller than the submission queue; all are
    ///   positive.
    /// - Throws: `RingError` that names what the system lacks or forbids.
    public init(submissionEntries: Int, completionEntries: Int, fileSlots: Int) throws(RingError) {
        precondition(submissionEntries > 0 && fileSlots > 0)
        precondition(completionEntries >= submissionEntries)
        var created: OpaquePointer?
        let status = cshims_ring_create(
            UInt32(clamping: submissionEntries), UInt32(clamping: completionEntries), &created)
        guard status == 0, let handle = created else {
            throw RingError.setupRefused(status: status, on: SystemFacts.read())
        }
        let registered = cshims_ring_register_files(handle, UInt32(clamping: fileSlots))
        guard registered == 0 else {
            cshims_ring_destroy(handle)
            throw RingError.describing(
                status: registered, call: "io_uring_register (\(fileSlots) file slots)",
                on: SystemFacts.read())
        }
        let layout = cshims_ring_layout(handle)
        self.handle = handle
        self.fileSlots = fileSlots
        submissions = SubmissionQueue(
            entries: layout.submissions, head: Ring.word(layout.submission_head),
            tail: Ring.word(layout.submission_tail), capacity: Int(layout.submission_count))
        completions = CompletionQueue(
            entries: layout.completions, head: Ring.word(layout.completion_head),
            tail: Ring.word(layout.completion_tail), capacity: Int(layout.completion_count))
    }

    /// Unmaps the queues and closes the ring; on the owner's thread, or after that thread has ended
    /// (a living owner keeps the kernel's part of the ring until its thread ends).
    ///
    /// What is still armed the kernel cancels some time later, and files stay open until then:
    /// cancel and reap before.
    deinit {
        cshims_ring_destroy(handle)
    }

    /// How many entries can be staged between two submissions.
    public var submissionCapacity: Int { submissions.capacity }

    /// How many completions fit until one is reaped.
    public var completionCapacity: Int { completions.capacity }

    /// How many entries are staged that the kernel has not taken yet.
    public var stagedCount: Int { submissions.stagedCount }

    /// Starts the ring and makes the calling thread its owner for good.
    /// - Throws: `RingError.systemCall`; EBADFD if it is enabled already.
    public mutating func enable() throws(RingError) {
        let status = cshims_ring_enable(handle)
        guard status == 0 else { throw .systemCall("io_uring_register (enable)", -status) }
    }

    /// Stages sends and TAP writes in order, without a system call; `enter` submits them.
    /// - Returns: how many were staged: fewer than given if the submission queue is full. Then
    ///   `enter` and stage the rest.
    public mutating func stage(_ sends: UnsafeBufferPointer<SendRequest>) -> Int {
        submissions.stage(sends)
    }

    /// Submits all that is staged, runs the kernel's deferred work and waits: one system call.
    ///
    /// With `waitingFor` 0 it never blocks.
    /// - Parameters:
    ///   - gatheringMicroseconds: how long to wait for more completions than one; after that time
    ///     one is enough. 0, and kernels before 6.12: the first one ends the wait, since the kernel
    ///     would let a waiter for more sleep although some are there.
    ///   - timeoutNanoseconds: the longest wait, `nil` for no limit.
    /// - Returns: how many entries were submitted, or -errno if none were: -ETIME (nothing came in
    ///   time) and -EINTR (a signal) are normal; -EEXIST means the wrong thread, -EBADFD a ring not
    ///   enabled.
    @discardableResult
    public mutating func enter(
        waitingFor count: UInt32, gatheringMicroseconds: UInt32 = 0, timeoutNanoseconds: Int64?
    ) -> Int32 {
        let staged = submissions.publish()
        return cshims_ring_enter(
            handle, UInt32(staged), count, gatheringMicroseconds, timeoutNanoseconds ?? -1)
    }

    /// Submits all that is staged and does not look for arrivals: one system call that never
    /// blocks.
    ///
    /// Completions of what ends inside it, such as refused sends, appear; multishot receives answer
    /// later.
    /// - Returns: how many entries were submitted, or -errno as `enter`.
    @discardableResult
    public mutating func submit() -> Int32 {
        let staged = submissions.publish()
        return cshims_ring_submit(handle, UInt32(staged))
    }

    /// Moves completions out of the queue, oldest first, without a system call.
    /// - Returns: how many were written to the front of `completions`.
    public mutating func reap(into completions: UnsafeMutableBufferPointer<Completion>) -> Int {
        self.completions.reap(into: completions)
    }

    /// Registers a file in a slot, in place of another's; the ring holds it open until it is
    /// cleared.
    /// - Returns: 0, or -errno: -EBADF no such descriptor, -EEXIST the wrong thread.
    /// - Precondition: `slot` is in 0 ..< `fileSlots`.
    public mutating func setFile(slot: Int, fd: Int32) -> Int32 {
        precondition(slot >= 0 && slot < fileSlots && fd >= 0)
        return cshims_ring_update_file(handle, UInt32(slot), fd)
    }

    /// Empties a slot. What is armed on the file stays armed and keeps it open: cancel first.
    /// - Returns: 0, or -errno: -EEXIST the wrong thread.
    /// - Precondition: `slot` is in 0 ..< `fileSlots`.
    @discardableResult
    public mutating func clearFile(slot: Int) -> Int32 {
        precondition(slot >= 0 && slot < fileSlots)
        return cshims_ring_update_file(handle, UInt32(slot), -1)
    }

    private static func word(_ address: UnsafeMutablePointer<UInt32>) -> KernelWord {
        UnsafeMutableRawPointer(address).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
}
