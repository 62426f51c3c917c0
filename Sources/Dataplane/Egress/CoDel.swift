// When a flow that waits for too long is told to slow down.
//
// A queue that empties now and then only smooths bursts. One in which every frame of an interval
// has waited for longer than the target stands still at that length, and does nothing but delay.
// So once a whole interval was above the target, one frame is signalled (marked, or dropped where
// its flow knows no marks), and while that does not help the next ones follow at intervals that
// shrink with the square root of their count.
//
// Source: RFC 8289, sections 4 and 5.

/// The state of the controlled delay of one flow.
struct CoDel {
    /// Time that frames may wait, in nanoseconds, unless it is shorter than an interval.
    struct Parameters {
        var target: UInt64
        var interval: UInt64 = 20_000_000
    }

    /// When the delay will have been above the target for an interval; 0 while it is not above.
    private var aboveUntil: UInt64 = 0
    private var signalNext: UInt64 = 0
    private var count: UInt32 = 0
    private var lastCount: UInt32 = 0
    private var isSignalling = false

    /// Judges the frame at the head of the flow.
    /// - Parameters:
    ///   - delay: nanoseconds that the frame has waited.
    ///   - isStanding: more than one frame's worth of bytes waits in the flow.
    /// - Returns: true if the frame shall be marked or dropped.
    mutating func judge(
        delay: UInt64, isStanding: Bool, now: UInt64, _ parameters: Parameters
    ) -> Bool {
        let isAbove = isAboveForLong(
            delay: delay, isStanding: isStanding, now: now, parameters)
        guard isAbove else {
            isSignalling = false
            return false
        }
        if isSignalling {
            guard now >= signalNext else { return false }
            count &+= 1
            signalNext = later(signalNext, parameters)
            return true
        }
        isSignalling = true
        // A flow that has just been signalled goes on where it was: the rate that held it is near.
        let isRecent = now < signalNext &+ 16 &* parameters.interval
        let previous = count &- lastCount
        count = isRecent && previous > 1 ? previous : 1
        lastCount = count
        signalNext = later(now, parameters)
        return true
    }

    private mutating func isAboveForLong(
        delay: UInt64, isStanding: Bool, now: UInt64, _ parameters: Parameters
    ) -> Bool {
        guard delay >= parameters.target, isStanding else {
            aboveUntil = 0
            return false
        }
        if aboveUntil == 0 {
            aboveUntil = now &+ parameters.interval
            return false
        }
        return now >= aboveUntil
    }

    private func later(_ time: UInt64, _ parameters: Parameters) -> UInt64 {
        time &+ UInt64(Double(parameters.interval) / Double(max(1, count)).squareRoot())
    }
}
