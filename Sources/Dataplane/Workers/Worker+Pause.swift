// Ports that pause (`on_congestion = "pause"`): their peer waits where others lose frames.
//
// Each frame of such a port that waits for its egress port keeps one receive buffer of the port
// from the kernel. So never more of its frames are inside the switch than it has buffers, and what
// its peer sends beyond them stays in the peer's own socket, which refuses when it is full. A
// receive that finds no buffer ends; the port is paused then, until half of its buffers are free
// again. Nothing has to be cancelled, and no frame is received that has no place.
//
//     enqueue, hand over   count the frame (SourceBacklog), withhold a buffer
//     leave, be taken      count it down
//     end of the turn      show the kernel what is free again, pause and resume
//
// A stream is not read while as many of its frames wait as it would have buffers, were it one of
// datagrams.
//
// What it costs others: nothing. Only frames of the port itself count, and only unicast, since a
// sender must not wait for the slowest of many. What it costs the port: its frames for others wait
// with those for the slow one. That is bounded twice. A frame waits for `queue_delay` at most, so a
// pause ends by then; and a port that has taken nothing for its `queue_delay` (Standstill) holds
// nobody up: frames for it are not counted until it takes one again. So whoever sends to a peer
// that stands still waits for it at the first, and loses frames for it afterwards, as without.
//
// What it gives: a flow alone loses nothing as long as its receiver takes, within `queue_delay`, as
// many frames as the sender has buffers (`Connection.bufferCount`), and its queue holds as many.
// CoDel leaves counted frames alone for that reason: it would slow down, by losses, who is slowed
// down already; their delay is bounded by the same number of buffers, other flows are served in
// turns beside them, and the queue that is worth controlling is now the sender's own.
//
// Frames for a port of another worker count as well while they cross, beyond a first pool's worth
// that keeps both workers busy: with several workers a port has up to twice as many frames in the
// switch. This worker is not told when they leave, so while a port is paused it looks.

internal import IORing
internal import SwitchCore

extension Worker where Backend: ~Copyable {
    /// Longest time between two looks at what other workers let wait of a paused port.
    private static var lookNanoseconds: UInt64 { 100_000 }

    /// Where to count a frame that is to wait for `connection`; nil: its source does not wait.
    func waitingCount(
        of origin: Origin, for connection: UnsafeMutablePointer<Connection>
    ) -> WaitingCount? {
        guard links.backlog.isPausing(origin.ingress), !origin.isFlooded else { return nil }
        let hasStopped = connection.pointee.standstill.hasLasted(
            connection.pointee.queueDelayNanoseconds,
            sentFrames: connection.pointee.counters[.sentFrames], now: now)
        return hasStopped ? nil : links.backlog.waiting(of: origin.ingress, at: index)
    }

    /// Keeps one more buffer of a port, if it is this worker's, from the kernel.
    ///
    /// At once: buffers go back to the kernel before the turn is over.
    mutating func holdBack(_ port: PortID) {
        guard let source = connections[port.index], source.pointee.state == .active else { return }
        if Int(source.pointee.buffers.withheld) < source.pointee.buffers.count {
            source.pointee.buffers.withheld &+= 1
        }
        listHeldBack(source)
    }

    mutating func listHeldBack(_ source: UnsafeMutablePointer<Connection>) {
        guard !source.pointee.isListedHeldBack else { return }
        source.pointee.isListedHeldBack = true
        heldBack.append(source)
    }

    /// Gives every port back what does not wait any more.
    @inline(never)
    mutating func easeSources() {
        var position = 0
        while position < heldBack.count {
            let source = heldBack[position]
            if isHeldBack(source) {
                position += 1
            } else {
                source.pointee.isListedHeldBack = false
                heldBack.remove(at: position)
            }
        }
    }

    private mutating func isHeldBack(_ source: UnsafeMutablePointer<Connection>) -> Bool {
        let isActive = source.pointee.state == .active
        let count = source.pointee.buffers.count
        let crossing = isActive ? links.backlog.crossing(of: source.pointee.port) : 0
        let waiting = isActive ? waitingFrames(of: source) : 0
        source.pointee.buffers.withheld = UInt16(truncatingIfNeeded: min(waiting, count))
        source.pointee.buffers.publish()
        if waiting <= count / 2 {
            if source.pointee.isPaused { resume(source) }
        } else if !source.pointee.isPaused, !source.pointee.receiveArmed {
            pause(source)
        }
        return waiting > 0 || crossing > 0
    }

    /// How many frames of a port wait, for as far as it is held up by them.
    func waitingFrames(of source: UnsafeMutablePointer<Connection>) -> Int {
        let port = source.pointee.port
        let crossing = links.backlog.crossing(of: port)
        return links.backlog.waiting(of: port)
            &+ max(0, crossing &- source.pointee.buffers.count)
    }

    func pause(_ source: UnsafeMutablePointer<Connection>) {
        source.pointee.isPaused = true
        source.pointee.pausedSince = now
        source.pointee.counters.add(.pauses)
        source.pointee.counters.set(.pausedPorts, to: 1)
    }

    private mutating func resume(_ source: UnsafeMutablePointer<Connection>) {
        source.pointee.isPaused = false
        source.pointee.counters.add(.pausedNanoseconds, now &- source.pointee.pausedSince)
        source.pointee.counters.set(.pausedPorts, to: 0)
        // What a stream has received already is cut up before more is asked for.
        if source.pointee.stream == nil { listForArming(source) } else { listReadable(source) }
    }

    /// When a congested port is to be looked at: at its next try, or as soon as a frame expires
    /// that may hold up its source.
    func dueTime(_ connection: UnsafeMutablePointer<Connection>) -> UInt64 {
        guard connection.pointee.queue.countedFrames > 0,
            let oldest = connection.pointee.queue.oldestTime
        else { return connection.pointee.retryAt }
        return min(
            connection.pointee.retryAt, oldest &+ connection.pointee.queueDelayNanoseconds &+ 1)
    }

    /// When to look at other workers for the sake of a paused port.
    func lookTime() -> UInt64? {
        guard links.workerCount > 1 else { return nil }
        for position in 0..<heldBack.count where heldBack[position].pointee.isPaused {
            return now &+ Self.lookNanoseconds
        }
        return nil
    }
}
