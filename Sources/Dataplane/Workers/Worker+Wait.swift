// How a worker waits for something to do.
//
// It sleeps in the ring, for as long as it takes: an idle switch uses no CPU, and a lone frame is
// taken at once. After a turn with several frames the next ones are near. Then the worker lets some
// more gather, for 50 us at most: a wake-up for each would take the CPU from the very guests that
// send and read them (measured with three processes on two CPUs: a tenth more frames of 1514 bytes,
// a seventh more of 65,000).
//
// To be woken costs microseconds, more where the system halts an idle CPU, so a worker may first
// look again and again for a while after its last work (`busy_poll`). All the while it is offline,
// so that grace periods pass without it.

internal import SwitchCore
internal import Synchronization

extension Worker where Backend: ~Copyable {
    /// Waits until something happens, and takes what arrived.
    mutating func wait() {
        links.isWaiting.store(true)
        links.gracePeriod.offline(index)
        // The flag before the look: whoever hands over after the look sees the flag and wakes us.
        // Pairs with the fence in `announceHandovers`.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let mayBlock =
            readable.count == 0 && !hasUnfinishedRequests && !hasHandoversWaiting()
            && !links.stopping.isSet
        let timeout = relieveTimeout()
        if mayBlock, links.busyPollNanoseconds > 0 { poll(atMost: timeout) }
        if completionCount == 0 {
            let wanted: UInt32 = lastBatch >= Self.busyBatchMin ? Self.gatherCount : 1
            _ = backend.enter(
                waitingFor: mayBlock ? wanted : 0,
                gatheringMicroseconds: Self.gatherMicroseconds, timeoutNanoseconds: timeout)
            completionCount = backend.reap(into: completions)
        }
        links.gracePeriod.online(index)
        links.isWaiting.store(false)
        block.add(.wakeups, 1)
    }

    /// Frames in a turn that make it a busy one.
    static var busyBatchMin: Int { 4 }
    /// What a busy worker waits for, and for how long at most.
    static var gatherCount: UInt32 { 16 }
    static var gatherMicroseconds: UInt32 { 50 }

    /// Looks for completions without sleeping, for the time of `busy_poll` at most. What other
    /// threads want comes as a completion, too: the worker counts as waiting.
    @inline(never)
    private mutating func poll(atMost timeout: Int64?) {
        let window = min(links.busyPollNanoseconds, UInt64(timeout ?? .max))
        let end = backend.now() &+ window
        repeat {
            _ = backend.enter(
                waitingFor: 0, gatheringMicroseconds: 0, timeoutNanoseconds: nil)
            completionCount = backend.reap(into: completions)
        } while completionCount == 0 && backend.now() < end
    }

    private func hasHandoversWaiting() -> Bool {
        for other in 0..<links.workerCount {
            if let ring = links.ring(from: other), !ring.isEmpty { return true }
        }
        return false
    }
}
