// The dedicated thread of a worker.

internal import CShimsSystem
internal import Glibc
internal import IORing
internal import SwitchCore
internal import Synchronization

/// Starts a worker on a thread of its own, and joins it.
///
/// The ring is made on the thread itself, since a single-issuer ring belongs to the thread that
/// enables it.
final class WorkerThread {
    /// What crosses to the new thread and back.
    ///
    /// Thread-safety: `failure` is written before `ready` is signalled and read after it, which is
    /// the argument for `@unchecked Sendable`.
    private final class Start: @unchecked Sendable {
        let index: Int
        let context: WorkerContext
        let processor: Int?
        var failure: RingError?
        private let ready: UnsafeMutablePointer<sem_t>

        init(index: Int, context: WorkerContext, processor: Int?) {
            self.index = index
            self.context = context
            self.processor = processor
            ready = .allocate(capacity: 1)
            sem_init(ready, 0, 0)
        }

        deinit {
            sem_destroy(ready)
            ready.deallocate()
        }

        func signal() { sem_post(ready) }
        func wait() { while sem_wait(ready) != 0 {} }
    }

    private let context: WorkerContext
    private let index: Int
    private var thread: pthread_t

    /// Starts worker `index`; returns when its ring works.
    /// - Parameter processor: the CPU to pin the thread to, if any.
    init(index: Int, context: WorkerContext, processor: Int?) throws(RingError) {
        self.index = index
        self.context = context
        let start = Start(index: index, context: context, processor: processor)
        thread = pthread_t()
        let argument = Unmanaged.passRetained(start)
        let result = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                WorkerThread.run(Unmanaged<Start>.fromOpaque(argument).takeRetainedValue())
                return nil
            }, argument.toOpaque())
        guard result == 0 else {
            argument.release()
            throw .systemCall("pthread_create", result)
        }
        start.wait()
        if let failure = start.failure {
            pthread_join(thread, nil)
            throw failure
        }
    }

    /// Ends the worker and waits for its thread. Its connections must have been retired.
    func stop() {
        context.stopping[index].store(true)
        context.wakes[index].signal()
        pthread_join(thread, nil)
    }

    private static func run(_ start: Start) {
        cshims_thread_set_name("worker-\(start.index)")
        if let processor = start.processor {
            var list = [Int32(processor)]
            _ = cshims_thread_set_affinity(&list, 1)
        }
        let context = start.context
        let index = start.index
        do throws(RingError) {
            let backend = try RingBackend(
                fileSlots: context.portCapacity, wake: context.wakes[index])
            var worker = Worker(index: index, context: context, backend: backend)
            context.gracePeriod.online(index)
            start.signal()
            while !context.stopping[index].isSet { worker.turn() }
            context.gracePeriod.offline(index)
        } catch {
            start.failure = error
            start.signal()
        }
    }
}
