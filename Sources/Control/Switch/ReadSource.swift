// What the control plane waits for, as dispatch sources on its queue.

internal import Dispatch

/// Calls back on the control actor whenever a descriptor is readable, until cancelled.
@ControlActor
final class ReadSource {
    private let source: any DispatchSourceRead

    /// - Parameter body: reads what is there; it is called again while something is left.
    init(descriptor: Int32, _ body: @escaping @ControlActor @Sendable () -> Void) {
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: ControlActor.queue)
        source.setEventHandler { ControlActor.assumeIsolated { body() } }
        source.activate()
    }

    /// Stops; the descriptor may be closed once `completion` is called.
    func cancel(_ completion: (@ControlActor @Sendable () -> Void)? = nil) {
        if let completion {
            source.setCancelHandler { ControlActor.assumeIsolated { completion() } }
        }
        source.cancel()
    }
}
