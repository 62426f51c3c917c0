// Sending to a port that does not keep up, and what waits for it.
//
// A careful port is sent to by sendmmsg, which stops at the first refusal. What is refused waits in
// the port's own queue, and later frames join it; the queue says in which order they leave. It is
// tried again when the kernel reports room, or when an interval is over that doubles while there is
// no progress.

internal import CShimsSystem
internal import Glibc
internal import SwitchCore

extension Worker where Backend: ~Copyable {
    mutating func becomeCareful(_ connection: UnsafeMutablePointer<Connection>) {
        connection.pointee.lastRefusal = now
        connection.pointee.pace = .careful
        listCongested(connection)
    }

    mutating func listCongested(_ connection: UnsafeMutablePointer<Connection>) {
        guard !connection.pointee.isListedCongested else { return }
        connection.pointee.isListedCongested = true
        congested.append(connection)
    }

    mutating func sendCarefully(
        _ frame: cshims_gather, to connection: UnsafeMutablePointer<Connection>, from origin: Origin
    ) {
        guard connection.pointee.queue.isEmpty else {
            return enqueue(frame, to: connection, from: origin)
        }
        if connection.pointee.carefulCount == connection.pointee.carefulFrames.count {
            sendFrames(connection)
        }
        guard connection.pointee.queue.isEmpty, connection.pointee.state == .active else {
            return enqueue(frame, to: connection, from: origin)
        }
        let count = connection.pointee.carefulCount
        connection.pointee.carefulFrames[count] = frame
        connection.pointee.carefulOrigins[count] = origin
        connection.pointee.carefulCount = count + 1
        listCongested(connection)
    }

    /// Sends the waiting frames of a careful port; what is refused moves into its queue.
    private mutating func sendFrames(_ connection: UnsafeMutablePointer<Connection>) {
        let count = connection.pointee.carefulCount
        guard count > 0 else { return }
        connection.pointee.carefulCount = 0
        let hadRest = connection.pointee.hasRest
        let frames = UnsafeMutableBufferPointer(
            rebasing: connection.pointee.carefulFrames[..<count])
        var position = 0
        while position < count, connection.pointee.state == .active {
            let result = sendBatch(
                UnsafeMutableBufferPointer(rebasing: frames[position...]), to: connection)
            if result > 0 {
                position += result
                // The socket is full where the last of them was cut off.
                if connection.pointee.hasRest { break }
            } else if isFull(Int32(result)) {
                refused(connection, Int32(result))
                break
            } else {
                countFailure(Int32(result), connection)
                position += 1
            }
        }
        while position < count {
            enqueue(
                frames[position], to: connection,
                from: connection.pointee.carefulOrigins[position])
            position += 1
        }
        if hadRest || connection.pointee.hasRest { gaugeQueue(connection) }
    }

    /// Copies a frame into the port's queue. A flooded copy may use only the first half, so that a
    /// broadcast storm cannot starve unicast.
    mutating func enqueue(
        _ frame: cshims_gather, to connection: UnsafeMutablePointer<Connection>, from origin: Origin
    ) {
        guard connection.pointee.state == .active else {
            connection.pointee.counters.add(dropped: .noPeer, 1)
            return
        }
        let capacity = connection.pointee.queue.capacity
        let count = waitingCount(of: origin, for: connection)
        let isRoom = connection.pointee.queue.append(
            frame, from: origin.ingress, now: now,
            limit: origin.isFlooded ? capacity / 2 : capacity, counting: count)
        if !isRoom {
            connection.pointee.counters.add(
                dropped: origin.isFlooded ? .floodLimited : .queueFull, 1)
        } else if count != nil {
            holdBack(origin.ingress)
        }
        listCongested(connection)
        gaugeQueue(connection)
    }

    /// Notes a refusal: the next try comes when the kernel reports room or the interval is over,
    /// and intervals double while there is no progress.
    mutating func refused(
        _ connection: UnsafeMutablePointer<Connection>, _ result: Int32
    ) {
        connection.pointee.lastRefusal = now
        connection.pointee.standstill.noteRefusal(
            sentFrames: connection.pointee.counters[.sentFrames], now: now)
        connection.pointee.retryAt = now + connection.pointee.backoffNanoseconds
        connection.pointee.backoffNanoseconds = min(
            connection.pointee.backoffNanoseconds * 2, Connection.backoffMax)
        // Only a socket that has just said EAGAIN may be asked for room: any other says yes at
        // once, also where the kernel lacks memory.
        guard !connection.pointee.pollArmed, result == -EAGAIN, hold == .none else { return }
        connection.pointee.pollArmed = backend.armWritable(
            slot: UInt32(connection.pointee.port.index),
            tag: tag(CompletionKind.writable, connection))
    }

    mutating func becameWritable(_ connection: UnsafeMutablePointer<Connection>) {
        connection.pointee.pollArmed = false
        connection.pointee.retryAt = min(connection.pointee.retryAt, now)
        connection.pointee.backoffNanoseconds = Connection.backoffMin
    }

    /// Sends the waiting frames of every careful port. They lie in receive buffers and rings of
    /// other workers, which may go back only afterwards.
    mutating func sendWaitingFrames() {
        for position in 0..<congested.count { sendFrames(congested[position]) }
    }

    /// Sends from the queues of congested ports whose time has come, unless that is held, and lets
    /// go of those at ease, and of those that leave.
    mutating func relieveCongested() {
        var position = 0
        while position < congested.count {
            let connection = congested[position]
            if hold != .all { drain(connection) }
            if isAtEase(connection) {
                connection.pointee.pace = connection.pointee.restPace
                connection.pointee.isListedCongested = false
                connection.pointee.queue.trim(now: now)
                congested.remove(at: position)
            } else {
                position += 1
            }
        }
    }

    private func isAtEase(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        guard connection.pointee.queue.isEmpty else { return false }
        guard !connection.pointee.hasRest else { return connection.pointee.state != .active }
        return connection.pointee.state != .active
            || now >= connection.pointee.lastRefusal + Connection.carefulNanoseconds
    }

    private mutating func drain(_ connection: UnsafeMutablePointer<Connection>) {
        guard !connection.pointee.queue.isEmpty else { return sendRest(of: connection) }
        if now > connection.pointee.queueDelayNanoseconds {
            let expired = connection.pointee.queue.expire(
                before: now - connection.pointee.queueDelayNanoseconds)
            if expired > 0 {
                connection.pointee.counters.add(dropped: .queueExpired, UInt64(expired))
                gaugeQueue(connection)
            }
        }
        guard connection.pointee.queue.isEmpty || now >= connection.pointee.retryAt else { return }
        while !connection.pointee.queue.isEmpty, connection.pointee.state == .active {
            guard drainBatch(connection) else { return }
        }
        connection.pointee.retryAt = 0
        connection.pointee.backoffNanoseconds = Connection.backoffMin
    }

    /// Sends one batch from a queue, about as long as the peer has room for, which it may count in
    /// frames, too; false when it refused.
    private mutating func drainBatch(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        let frames = connection.pointee.carefulFrames
        let count = connection.pointee.queue.choose(
            connection.pointee.batchLimit, room: roomInSocket(connection),
            overhead: connection.pointee.frameOverhead, into: frames, now: now)
        defer { gaugeQueue(connection) }
        // CoDel may have dropped all that was there.
        guard count > 0 else { return true }
        let result = sendBatch(
            UnsafeMutableBufferPointer(rebasing: frames[..<count]), to: connection)
        let isCutOff = connection.pointee.hasRest
        if result > 0 {
            connection.pointee.queue.removeFirst(result)
            if !isCutOff {
                connection.pointee.backoffNanoseconds = Connection.backoffMin
                if result < count { refused(connection, -EAGAIN) }
            }
        } else if isFull(Int32(result)) {
            refused(connection, Int32(result))
        } else {
            connection.pointee.queue.removeFirst(1)
            countFailure(Int32(result), connection)
            return true
        }
        // A stream takes as much as there is room for, whatever is offered.
        if connection.pointee.stream == nil {
            connection.pointee.batchLimit =
                result == count ? min(2 * count, EgressQueue.batchMax) : max(1, result)
        }
        return result == count && !isCutOff
    }

    /// Nanoseconds until the first congested port is due; nil when none waits.
    func relieveTimeout() -> Int64? {
        guard hold != .all else { return nil }
        var first = lookTime()
        for position in 0..<congested.count {
            let connection = congested[position]
            // A rest has no end of its time: the kernel says when there is room for it.
            let isRestDue = connection.pointee.hasRest && !connection.pointee.pollArmed
            guard !connection.pointee.queue.isEmpty || isRestDue else { continue }
            first = min(first ?? .max, dueTime(connection))
        }
        guard let first else { return nil }
        return first <= now ? 0 : Int64(first - now)
    }

    /// Drops everything that waits for a connection.
    mutating func dropQueue(_ connection: UnsafeMutablePointer<Connection>, _ reason: DropReason) {
        var count = connection.pointee.queue.removeAll()
        if let stream = connection.pointee.stream, stream.pointee.sender.dropRest() { count += 1 }
        guard count > 0 else { return }
        connection.pointee.counters.add(dropped: reason, UInt64(count))
        gaugeQueue(connection)
    }

    /// Counts what the queue did of itself, and shows how full it is.
    mutating func gaugeQueue(_ connection: UnsafeMutablePointer<Connection>) {
        let counters = connection.pointee.counters
        let signals = connection.pointee.queue.takeSignals()
        if !signals.isEmpty {
            counters.add(dropped: .queueFull, UInt64(signals.full))
            counters.add(dropped: .codel, UInt64(signals.dropped))
            counters.add(.ecnMarks, UInt64(signals.marked))
        }
        var frames = connection.pointee.queue.frameCount
        var bytes = connection.pointee.queue.byteCount
        if let stream = connection.pointee.stream, stream.pointee.sender.hasRest {
            frames += 1
            bytes += stream.pointee.sender.restLength
        }
        counters.set(.queuedFrames, to: UInt64(frames))
        counters.set(.queuedBytes, to: UInt64(bytes))
        counters.raise(.queueHighWaterBytes, to: UInt64(bytes))
    }
}
