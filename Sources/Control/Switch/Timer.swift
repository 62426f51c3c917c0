internal import Dispatch

/// Calls back on the control actor, at an interval or once, until cancelled.
@ControlActor
final class Timer {
    private let source: any DispatchSourceTimer

    init(everyMilliseconds interval: Int, _ body: @escaping @ControlActor @Sendable () -> Void) {
        source = Self.started(after: interval, repeating: .milliseconds(interval), body)
    }

    init(afterMilliseconds delay: Int, _ body: @escaping @ControlActor @Sendable () -> Void) {
        source = Self.started(after: delay, repeating: .never, body)
    }

    func cancel() { source.cancel() }

    private static func started(
        after delay: Int, repeating interval: DispatchTimeInterval,
        _ body: @escaping @ControlActor @Sendable () -> Void
    ) -> any DispatchSourceTimer {
        let source = DispatchSource.makeTimerSource(queue: ControlActor.queue)
        source.schedule(
            deadline: .now() + .milliseconds(delay), repeating: interval,
            leeway: .milliseconds(delay / 10))
        source.setEventHandler { ControlActor.assumeIsolated { body() } }
        source.activate()
        return source
    }
}
