internal import CShimsRing

/// Ends the wait of a ring from any thread: an eventfd that the ring polls (`Ring.armEventPoll`).
///
/// Thread-safety: every member may be used from any thread at any time. The descriptor closes with
/// the last reference, so a late signal finds it open.
///
/// Source: eventfd(2).
public final class Wake: Sendable {
    /// The eventfd, non-blocking and closed on exec.
    public let descriptor: Int32

    /// Opens the eventfd.
    /// - Throws: `RingError.tooManyDescriptors` or `.systemCall`.
    public init() throws(RingError) {
        let status = cshims_event_create()
        guard status >= 0 else {
            throw RingError.describing(status: status, call: "eventfd", on: SystemFacts.read())
        }
        descriptor = status
    }

    deinit {
        _ = cshims_event_close(descriptor)
    }

    /// Makes the ring's `enter` return, now or at its next wait; never blocks.
    public func signal() {
        // EAGAIN alone can come back: the counter stands at its limit, so the ring is signalled
        // already.
        _ = cshims_event_signal(descriptor)
    }
}
