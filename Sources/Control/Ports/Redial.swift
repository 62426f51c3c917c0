internal import Foundation

/// Tries to reach a peer again and again, at growing intervals.
@ControlActor
final class Redial {
    private var timer: Timer?
    private var milliseconds = Redial.least
    private static let least = 100
    private static let most = 5000
    /// A connection that lasted for so long was one: the next try comes soon.
    private static let lastingSeconds = 1.0

    /// Calls `dial` later, once.
    func schedule(_ dial: @escaping @ControlActor @Sendable () -> Void) {
        timer?.cancel()
        timer = Timer(afterMilliseconds: milliseconds, dial)
        milliseconds = min(2 * milliseconds, Self.most)
    }

    /// Takes note that a connection has ended.
    func connectionEnded(since: Date) {
        if Date().timeIntervalSince(since) >= Self.lastingSeconds { milliseconds = Self.least }
    }

    func cancel() {
        timer?.cancel()
        timer = nil
    }
}
