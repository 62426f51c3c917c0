// The one thread of control: everything that decides about ports happens here, in order.
//
// It is a global actor whose executor is a serial dispatch queue, so that dispatch sources (a
// socket is readable, a process ended, a timer fired) run on the actor already and need no hop.

internal import Dispatch

/// Isolates the control plane: port lifecycle, reload, reports.
@globalActor
public actor ControlActor {
    /// The one instance, as a global actor has.
    public static let shared = ControlActor()

    /// The queue that the actor runs on; for dispatch sources.
    static let queue = DispatchQueue(label: "ringswitch.control")
    private static let executor = QueueExecutor(queue: queue)

    /// Runs the actor on `queue`.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        Self.executor.asUnownedSerialExecutor()
    }

    /// Runs `body` as part of the actor. Traps off its queue.
    static func assumeIsolated<Result: Sendable>(
        _ body: @ControlActor () throws -> Result
    ) rethrows -> Result {
        shared.preconditionIsolated()
        // The line above proves that the isolation which the type demands is there.
        return try withoutActuallyEscaping(body) {
            try unsafeBitCast($0, to: (() throws -> Result).self)()
        }
    }
}

/// Runs jobs on a serial dispatch queue.
private final class QueueExecutor: SerialExecutor {
    private let queue: DispatchQueue

    init(queue: DispatchQueue) { self.queue = queue }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedSerialExecutor()
        queue.async { job.runSynchronously(on: executor) }
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }

    func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }
}
