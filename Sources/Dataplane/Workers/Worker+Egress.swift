// Sending, and what happens when a peer does not keep up.
//
// A port at ease is sent to by the ring: sends execute inline, in SQE order, inside one enter, and
// only failures make completions. A port that refused lately, or whose socket is half full
// ("careful"), is sent to by sendmmsg, which stops at the first refusal, since the ring would go on
// and could deliver a later frame of a batch after refusing an earlier one. What is refused waits
// in the port's own queue, and later frames join its tail. Nothing here ever waits, and no port
// touches another.

internal import CShimsSystem
internal import Glibc
internal import IORing
internal import SwitchCore

extension Worker where Backend: ~Copyable {
    /// Sends a frame to a connection of this worker, now or through its queue, in the form that its
    /// port needs.
    mutating func send(
        _ frame: UnsafeMutableRawPointer, _ length: Int,
        to connection: UnsafeMutablePointer<Connection>, from origin: Origin
    ) {
        guard connection.pointee.state == .active else {
            connection.pointee.counters.add(
                dropped: connection.pointee.state == .abandoned ? .noPeer : .portRemoved, 1)
            return
        }
        if VirtioNetHeader.isPlain(before: frame), length <= connection.pointee.plainLengthMax {
            transmit(frame, length, to: connection, from: origin)
        } else {
            sendOffloaded(frame, length, to: connection, from: origin)
        }
    }

    /// Sends a frame as it is, with its virtio header where the port has one.
    mutating func transmit(
        _ frame: UnsafeRawPointer, _ length: Int, to connection: UnsafeMutablePointer<Connection>,
        from origin: Origin
    ) {
        let prefix = connection.pointee.prefix
        guard hasDirectSlot(connection, length: length) else {
            return sendCarefully(
                cshims_gather(frame - prefix, length: length + prefix), to: connection,
                from: origin)
        }
        stage(
            frame - prefix, length: length + prefix,
            connection.pointee.transport == .tap ? .write : .send, to: connection,
            from: origin)
    }

    /// Whether a frame of `length` bytes for the port goes by the ring; there is room to stage it
    /// then.
    mutating func hasDirectSlot(
        _ connection: UnsafeMutablePointer<Connection>, length: Int
    ) -> Bool {
        guard connection.pointee.pace == .direct else { return false }
        let charge = Connection.charge(ofFrame: length)
        connection.pointee.credit &-= charge
        if connection.pointee.credit < 0 { return renewCredit(connection, charge: charge) }
        guard stagedCount == Self.sendsMax else { return true }
        flush()
        // That may have made the port careful.
        return connection.pointee.pace == .direct
    }

    /// Asks how much the port's socket still takes; false if it is half full. A device takes all.
    ///
    /// The ring would go on after a refusal, and what follows in the batch could overtake what was
    /// refused. So a socket that may fill up within a batch is sent to carefully before it does.
    @inline(never)
    private mutating func renewCredit(
        _ connection: UnsafeMutablePointer<Connection>, charge: Int
    ) -> Bool {
        // What is staged does not weigh on the socket yet.
        flush()
        guard connection.pointee.pace == .direct else { return false }
        guard connection.pointee.sendBuffer.isBounded else {
            connection.pointee.credit = .max
            return true
        }
        let outstanding = lookIntoSocket(connection)
        let room = connection.pointee.sendBuffer.bytes / 2 &- outstanding
        connection.pointee.credit = min(room, Connection.creditMax) &- charge
        guard connection.pointee.credit < 0 else { return true }
        becomeCareful(connection)
        return false
    }

    /// Notes a send for the next flush.
    mutating func stage(
        _ address: UnsafeRawPointer, length: Int, _ operation: SendRequest.Operation,
        to connection: UnsafeMutablePointer<Connection>, from origin: Origin
    ) {
        let slot = stagedCount
        sends[slot] = SendRequest(
            address: address, length: UInt32(length),
            fileSlot: UInt32(connection.pointee.port.index),
            tag: CompletionTag(
                kind: CompletionKind.send, port: connection.pointee.port.rawValue,
                generation: UInt16(truncatingIfNeeded: connection.pointee.generation), slot: slot),
            operation: operation)
        staged[slot] = StagedSend(connection: connection, origin: origin, failure: 0)
        stagedCount = slot + 1
    }

    // MARK: Through the ring

    /// Executes the staged sends and settles them.
    /// - Parameter takingArrivals: also take what has arrived meanwhile, for the next turn. Only
    ///   the last flush of a turn may, which bounds the completions of a turn.
    mutating func flush(takingArrivals: Bool = false) {
        guard stagedCount > 0 else { return }
        var accepted = 0
        while true {
            accepted += backend.stage(UnsafeBufferPointer(rebasing: sends[accepted..<stagedCount]))
            if accepted == stagedCount { break }
            // The queue is full of receives to be armed, as after a reload that adds many ports.
            _ = backend.submit()
        }
        // Behind the sends, as these take long enough for the next frames to arrive.
        if takingArrivals { askDevices() }
        _ =
            takingArrivals
            ? backend.enter(
                waitingFor: 0, gatheringMicroseconds: 0, timeoutNanoseconds: nil) : backend.submit()
        tookArrivals = takingArrivals
        if takeFailures() == 0 { countSent() } else { settle() }
        stagedCount = 0
    }

    /// Reaps; notes failed sends in `staged` and keeps every other completion for the next turn.
    /// - Returns: how many sends failed.
    private mutating func takeFailures() -> Int {
        let end =
            completionCount
            + backend.reap(
                into: UnsafeMutableBufferPointer(rebasing: completions[completionCount...]))
        var failures = 0
        for position in completionCount..<end {
            let completion = completions[position]
            if completion.tag.kind == CompletionKind.send {
                staged[completion.tag.slot].failure = completion.result
                failures += 1
            } else {
                completions[completionCount] = completion
                completionCount += 1
            }
        }
        return failures
    }

    /// Counts a batch without failures, one write a run of the same port.
    private mutating func countSent() {
        var position = 0
        while position < stagedCount {
            let connection = staged[position].connection
            var bytes: UInt64 = 0
            let start = position
            repeat {
                bytes &+= UInt64(sends[position].length)
                position += 1
            } while position < stagedCount && staged[position].connection == connection
            countSent(position - start, bytes: bytes, connection)
        }
    }

    /// Counts sent frames; `bytes` has their virtio headers in it.
    func countSent(
        _ count: Int, bytes: UInt64, _ connection: UnsafeMutablePointer<Connection>
    ) {
        let frames = UInt64(truncatingIfNeeded: count)
        let prefix = UInt64(truncatingIfNeeded: connection.pointee.prefix)
        connection.pointee.chargedBytes &+= Connection.charge(
            ofFrames: count, bytes: Int(truncatingIfNeeded: bytes))
        connection.pointee.counters.add(.sentFrames, frames)
        connection.pointee.counters.add(.sentBytes, bytes &- frames &* prefix)
    }

    /// Counts a batch with failures: frames refused after the port's last success wait in its
    /// queue, frames refused before it were overtaken and can no longer be sent in order.
    @inline(never)
    private mutating func settle() {
        settleSerial += 1
        for position in (0..<stagedCount).reversed() {
            let connection = staged[position].connection
            if staged[position].failure == 0 {
                connection.pointee.successSerial = settleSerial
                countSent(1, bytes: UInt64(sends[position].length), connection)
            } else if connection.pointee.successSerial == settleSerial {
                refuseOvertaken(position)
            }
        }
        for position in 0..<stagedCount where staged[position].failure != 0 {
            let connection = staged[position].connection
            if isFull(staged[position].failure) {
                becomeCareful(connection)
                if connection.pointee.retryAt <= now {
                    refused(connection, staged[position].failure)
                }
                enqueue(
                    gather(of: sends[position]), to: connection,
                    from: staged[position].origin)
            } else {
                countFailure(staged[position].failure, connection)
            }
        }
    }

    /// Where the bytes of a staged send lie.
    private func gather(of send: SendRequest) -> cshims_gather {
        switch send.operation {
        case .send, .write: cshims_gather(send.address, length: Int(send.length))
        case .sendMessage, .writeVector:
            SegmentArena.gather(of: send.address, operation: send.operation)
        }
    }

    private mutating func refuseOvertaken(_ position: Int) {
        let connection = staged[position].connection
        if isFull(staged[position].failure) {
            becomeCareful(connection)
            connection.pointee.counters.add(dropped: .overtaken, 1)
        } else {
            countFailure(staged[position].failure, connection)
        }
        staged[position].failure = 0
    }

    /// Whether a result says that the peer may take the frame later.
    func isFull(_ result: Int32) -> Bool {
        result == -EAGAIN || result == -ENOBUFS || result == -ENOMEM || result == -EINTR
    }

    /// Counts a frame that can never be sent, under the reason that the kernel gave.
    @inline(never)
    mutating func countFailure(
        _ result: Int32, _ connection: UnsafeMutablePointer<Connection>
    ) {
        let counters = connection.pointee.counters
        switch -result {
        case ECONNREFUSED, ENOTCONN, EPIPE, ECONNRESET, EPERM, ENOENT:
            counters.add(dropped: .noPeer, 1)
            reportPeerGone(connection, errno: -result)
        case EMSGSIZE: counters.add(dropped: .tooBig, 1)
        case EIO, ENETDOWN: counters.add(dropped: .deviceDown, 1)
        case EBADFD, ENODEV, ENXIO:
            counters.add(dropped: .deviceDown, 1)
            reportPeerGone(connection, errno: -result)
        default: counters.add(dropped: .sendFailed, 1)
        }
    }

    /// Tells Control, once, that a connection leads nowhere.
    mutating func reportPeerGone(
        _ connection: UnsafeMutablePointer<Connection>, errno: Int32,
        _ ending: PeerEnding = .failed
    ) {
        guard connection.pointee.state == .active else { return }
        connection.pointee.state = .abandoned
        dropQueue(connection, .noPeer)
        post(.peerGone, connection, errno: errno, ending)
    }
}
