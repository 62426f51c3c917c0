// What the control plane waits for, as dispatch sources on its queue.
//
// A descriptor that is closed while a source still watches it is a trap: its number may belong to
// another socket before the source lets go, and then the newcomer is the one that nobody watches
// any more. So whoever closes a descriptor waits for `end`, or has the source keep the object that
// owns it.

internal import Dispatch

/// Calls back on the control actor whenever a descriptor is readable, until it ends.
@ControlActor
final class ReadSource {
    private let source: any DispatchSourceRead
    private let ended = Gate()
    private var isSuspended = false

    /// - Parameters: - descriptor: to be closed only after the end of the source. - owner: an
    ///   object that is kept until the end of the source, for example the descriptor's own. - body:
    ///   reads what is there; it is called again while something is left.
    init(
        descriptor: Int32, keeping owner: (any Sendable)? = nil,
        _ body: @escaping @ControlActor @Sendable () -> Void
    ) {
        source = DispatchSource.makeReadSource(
            fileDescriptor: descriptor, queue: ControlActor.queue)
        source.setEventHandler { ControlActor.assumeIsolated { body() } }
        source.setCancelHandler { [ended] in
            ControlActor.assumeIsolated { ended.open() }
            withExtendedLifetime(owner) {}
        }
        source.activate()
    }

    /// Calls back no more until `resume`.
    func suspend() {
        guard !isSuspended else { return }
        isSuspended = true
        source.suspend()
    }

    /// Goes on after `suspend`; does nothing otherwise.
    func resume() {
        guard isSuspended else { return }
        isSuspended = false
        source.resume()
    }

    /// Calls back no more. The descriptor must stay open until the end.
    func cancel() {
        source.cancel()
        // One that is suspended would never come to its end.
        resume()
    }

    /// Calls back no more; the descriptor may be closed when it returns.
    func end() async {
        cancel()
        await ended.wait()
    }
}
