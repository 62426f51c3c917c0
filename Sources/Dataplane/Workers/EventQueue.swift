// Events of one worker on their way to Control: a bounded single-producer single-consumer ring.
//
// A connection makes at most three events in its life, and Control attaches a port anew only after
// it took the `retired` event of the connection before, so a ring of four times the port capacity
// cannot overflow.
//
// Memory ordering: the worker writes an event and stores `tail` with release; Control loads `tail`
// with acquire. Control stores `head` with release after reading; the worker loads it with acquire
// only to assert the bound.

internal import IORing
internal import Synchronization

/// Thread-safety: `post` from one worker, `drain` from Control; one writer a word, ordered as
/// above, which is the argument for `@unchecked Sendable`.
final class EventQueue: @unchecked Sendable {
    private let events: UnsafeMutableBufferPointer<DataPlaneEvent?>
    private let tail = Atomic<Int>(0)
    private let head = Atomic<Int>(0)
    private let wake: Wake

    init(capacity: Int, wake: Wake) {
        events = .allocate(capacity: capacity)
        events.initialize(repeating: nil)
        self.wake = wake
    }

    deinit { events.deallocate() }

    /// Adds an event and wakes Control.
    func post(_ event: DataPlaneEvent) {
        let position = tail.load(ordering: .relaxed)
        precondition(
            position &- head.load(ordering: .acquiring) < events.count, "event ring overflow")
        events[position % events.count] = event
        tail.store(position &+ 1, ordering: .releasing)
        wake.signal()
    }

    /// Takes every event posted so far, oldest first.
    func drain(_ body: (DataPlaneEvent) -> Void) {
        let end = tail.load(ordering: .acquiring)
        var position = head.load(ordering: .relaxed)
        while position != end {
            if let event = events[position % events.count] { body(event) }
            position &+= 1
            head.store(position, ordering: .releasing)
        }
    }
}
