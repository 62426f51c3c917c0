// How much of a port's traffic may wait in the kernel.
//
// What lies in a socket's buffer has no order but that of its arrival: a lone frame waits behind
// all of it, and no flow is told to slow down. So the buffer should hold no more than the peer
// reads between two visits of the switch, and everything else wait in the port's own queue. How
// much that is nobody knows beforehand; as byte queue limits do for network devices, it is found
// out:
//
//   - a buffer that was empty while frames waited here was too small, and is doubled at once, or
//     grows by a quarter if it should have been enough;
//   - one that holds more than what the peer reads in two milliseconds, and was not empty lately,
//     is lowered towards that, by a quarter each ten milliseconds.
//
// So it settles where the switch just comes in time, however late the scheduler lets it come.
//
// Source: Linux, lib/dynamic_queue_limits.c, for the idea.

/// The bound of one socket's send buffer; owned by one worker.
struct SendBufferLimit {
    /// Nanoseconds of the peer's reading that the buffer shall hold.
    private static let horizon = 2_000_000
    /// Nanoseconds between two steps down.
    private static let period: UInt64 = 10_000_000
    /// Nanoseconds without a step down after the buffer was empty.
    private static let hold: UInt64 = 100_000_000
    /// Nanoseconds after which a look tells nothing about the one before.
    private static let memory: UInt64 = 1_000_000_000

    /// Bytes as the kernel charges them, its own structures included.
    private(set) var bytes: Int
    private let least: Int
    private let most: Int

    private var start: UInt64 = 0
    private var takenAtStart = 0
    private var leastOutstanding = 0
    private var holdUntil: UInt64 = 0
    /// Bytes that the peer last took in the horizon.
    private var rate = Int.max

    /// A bound between `least` and `most` bytes, which it has first; 0: there is no buffer.
    init(least: Int, most: Int) {
        self.least = min(least, most)
        self.most = most
        bytes = most
    }

    /// Whether there is a buffer that could be full.
    var isBounded: Bool { most > 0 }

    /// Notes a look into the socket.
    /// - Parameters:
    ///   - outstanding: bytes that wait in it.
    ///   - taken: bytes that the peer has ever taken out of it.
    ///   - isQueueWaiting: frames wait for the socket.
    /// - Returns: whether the bound has changed.
    mutating func note(
        outstanding: Int, taken: Int, isQueueWaiting: Bool, now: UInt64
    ) -> Bool {
        if outstanding == 0, isQueueWaiting {
            holdUntil = now &+ Self.hold
            begin(outstanding, taken, now)
            guard bytes < most else { return false }
            bytes = min(most, bytes < rate ? 2 &* bytes : bytes / 4 &* 5)
            return true
        }
        leastOutstanding = min(leastOutstanding, outstanding)
        let elapsed = now &- start
        guard elapsed >= Self.period else { return false }
        defer { begin(outstanding, taken, now) }
        guard now >= holdUntil, elapsed < Self.memory else { return false }
        rate = max(0, taken &- takenAtStart) &* Self.horizon / Int(elapsed)
        guard isQueueWaiting || leastOutstanding > rate else { return false }
        let next = max(least, rate, bytes / 4 &* 3)
        guard next < bytes else { return false }
        bytes = next
        return true
    }

    private mutating func begin(_ outstanding: Int, _ taken: Int, _ now: UInt64) {
        start = now
        takenAtStart = taken
        leastOutstanding = outstanding
    }
}
