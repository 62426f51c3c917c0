import Glibc

/// Runs `body` once on each of `count` new threads and returns when all have ended.
///
/// Plain threads, because what is tested runs on dedicated threads and not on a cooperative pool.
public func runOnThreads(_ count: Int, _ body: @escaping @Sendable (_ index: Int) -> Void) {
    var threads: [pthread_t] = []
    for index in 0..<count {
        let work = Unmanaged.passRetained(ThreadWork { body(index) })
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { context in
                // Taken back from the passRetained above, once.
                Unmanaged<ThreadWork>.fromOpaque(context!).takeRetainedValue().body()
                return nil
            }, work.toOpaque())
        precondition(status == 0, "pthread_create failed: \(status)")
        threads.append(thread)
    }
    for thread in threads { pthread_join(thread, nil) }
}

/// Gives the processor to another thread.
public func yieldProcessor() {
    sched_yield()
}

private final class ThreadWork: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
    }
}
