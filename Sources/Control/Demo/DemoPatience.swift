import Glibc

/// Waiting in the demo: for a condition, but no longer than it takes to lose hope.
///
/// A wait ends early when a child ends that should not, and when a signal asks for the end; so
/// every wait of the demo can be interrupted, and none hides a failure behind a time limit.
struct DemoPatience {
    private static let pollMilliseconds: Int32 = 20

    let signals: SignalInlet

    /// Waits until `condition` holds.
    /// - Parameters:
    ///   - what: what is waited for, for the message.
    ///   - seconds: when to give up.
    ///   - children: those that must go on meanwhile.
    func wait(
        for what: String, seconds: Int, while children: [DemoChild],
        until condition: () throws(DemoError) -> Bool
    ) throws(DemoError) {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(seconds)
        while try !condition() {
            guard clock.now < end else { throw .tooSlow(waitingFor: what, seconds: seconds) }
            let ready = Waiting.forReadable(
                [signals.descriptor] + children.map(\.process.descriptor),
                milliseconds: Self.pollMilliseconds)
            if ready[0], let signal = signals.take() { throw .interrupted(signal: signal.number) }
            for child in children where child.process.hasEnded { throw child.endedTooEarly }
        }
    }

    /// Waits until a child ends by itself.
    func waitForEnd(
        of child: DemoChild, seconds: Int, while others: [DemoChild]
    ) throws(DemoError) {
        try wait(for: "the end of \(child.name)", seconds: seconds, while: others) {
            () throws(DemoError) in child.process.hasEnded
        }
    }
}
