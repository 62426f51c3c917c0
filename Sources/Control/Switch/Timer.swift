internal import Dispatch

/// Calls back on the control actor at an interval, until cancelled.
@ControlActor
final class Timer {
    private let source: any DispatchSourceTimer

    init(everyMilliseconds interval: Int, _ body: @escaping @ControlActor @Sendable () -> Void) {
        source = DispatchSource.makeTimerSource(queue: ControlActor.queue)
        source.schedule(
            deadline: .now() + .milliseconds(interval), repeating: .milliseconds(interval),
            leeway: .milliseconds(interval / 10))
        source.setEventHandler { ControlActor.assumeIsolated { body() } }
        source.activate()
    }

    func cancel() { source.cancel() }
}
