// From completions to frames, and from verdicts to sends.

internal import Glibc
internal import IORing
internal import SwitchCore

extension Worker where Backend: ~Copyable {
    /// A frame whose memory is not a receive buffer.
    static var noBuffer: UInt16 { .max }

    /// Adds the completions at hand to `frames`, behind the early frames that a new table may have
    /// brought.
    mutating func gather() {
        for position in 0..<completionCount {
            let completion = completions[position]
            let tag = completion.tag
            guard tag.kind != CompletionKind.wake, let connection = connections[Int(tag.port)],
                connection.pointee.generation & 0xFFFF == UInt32(tag.generation)
            else {
                passOver(completion)
                continue
            }
            switch tag.kind {
            case CompletionKind.receive: receive(completion, connection)
            case CompletionKind.writable: becameWritable(connection)
            case CompletionKind.cancel: connection.pointee.cancelPending = false
            default: break
            }
        }
        completionCount = 0
    }

    /// A completion that belongs to no connection of this worker: a call from outside, or one of a
    /// former connection.
    @inline(never)
    private mutating func passOver(_ completion: Completion) {
        if completion.tag.kind != CompletionKind.wake {
            block.add(.staleCompletions)
        } else if !completion.hasMore {
            _ = backend.armWake()
        }
    }

    private mutating func receive(
        _ completion: Completion, _ connection: UnsafeMutablePointer<Connection>
    ) {
        if let buffer = completion.bufferID {
            append(
                connection.pointee.buffers.address(of: buffer),
                length: Int(completion.result) - connection.pointee.prefix, connection,
                buffer: buffer)
        } else if completion.result <= 0 {
            receiveFailed(completion.result, connection)
        }
        guard !completion.hasMore else { return }
        connection.pointee.receiveArmed = false
        if connection.pointee.transport.isPolled, completion.result > 0 {
            listReadable(connection)
        } else {
            listForArming(connection)
        }
    }

    /// Adds a frame to the batch. A frame of a connection that is leaving is counted here, as the
    /// table no longer knows its port.
    mutating func append(
        _ address: UnsafeMutableRawPointer, length: Int,
        _ connection: UnsafeMutablePointer<Connection>, buffer: UInt16
    ) {
        frames[frameCount] = Frame(
            address: UnsafeRawPointer(address), length: Int32(clamping: max(0, length)),
            ingress: connection.pointee.port, bufferID: buffer)
        frameCount += 1
        if buffer != Self.noBuffer { heldFrameCount += 1 }
    }

    @inline(never)
    mutating func receiveFailed(
        _ result: Int32, _ connection: UnsafeMutablePointer<Connection>
    ) {
        switch -result {
        case 0
        where connection.pointee.transport.hasEnd
            && backend.hasEnded(descriptor: connection.pointee.descriptor):
            end(connection, .closed)
        case ECONNRESET where connection.pointee.transport.hasEnd:
            reportPeerGone(connection, errno: -result)
        case 0:
            // An empty datagram or packet: the only receive that ends well without a buffer.
            connection.pointee.counters.add(.receivedFrames, 1)
            connection.pointee.counters.add(dropped: .runt, 1)
        case ENOBUFS, ENOMEM, ECANCELED, EINTR, EAGAIN, ECONNRESET: break
        default: reportPeerGone(connection, errno: -result)
        }
    }

    /// Injects the frames that came with the handshake, before anything that the ring receives.
    /// What finds no room beside the completions at hand makes batches of its own.
    mutating func injectEarlyFrames(
        _ connection: UnsafeMutablePointer<Connection>, _ table: UnsafePointer<ConnectionTable>
    ) {
        for position in connection.pointee.earlyFrames.indices {
            if frameCount == frames.count - completionCount { forwardBatch(table) }
            let frame = connection.pointee.earlyFrames[position]
            append(frame.address, length: frame.length, connection, buffer: Self.noBuffer)
        }
        connection.pointee.hasEarlyFrames = false
    }

    private mutating func forwardBatch(_ table: UnsafePointer<ConnectionTable>) {
        forward(table)
        finishSends()
        giveBuffersBack()
    }

    /// Gives the batch's receive buffers back to the kernel; the sends have finished and none
    /// waits.
    mutating func giveBuffersBack() {
        guard frameCount > 0 else { return }
        var last = connections[frames[0].ingress.index]
        for position in 0..<frameCount {
            let frame = frames[position]
            let connection = connections[frame.ingress.index]
            if connection != last {
                last?.pointee.buffers.publish()
                last = connection
            }
            if frame.bufferID != Self.noBuffer {
                connection?.pointee.buffers.giveBack(frame.bufferID)
            }
        }
        last?.pointee.buffers.publish()
        frameCount = 0
        heldFrameCount = 0
    }

    /// One loop over the batch: every verdict becomes sends, handovers or nothing (drops are
    /// already counted).
    mutating func stageVerdicts(_ table: UnsafePointer<ConnectionTable>) {
        for position in 0..<frameCount {
            let verdict = verdicts[position]
            switch verdict.kind {
            case .unicast:
                let frame = frames[position]
                if let connection = connections[verdict.egress.index] {
                    send(
                        UnsafeMutableRawPointer(mutating: frame.address), Int(frame.length),
                        to: connection, from: Origin(ingress: frame.ingress, isFlooded: false))
                } else {
                    handOver(frame, to: verdict.egress, table)
                }
            case .flood: flood(frames[position], table)
            case .drop: break
            }
        }
    }

    /// Sends a frame to every eligible port of this worker and hands it over once to every other
    /// worker that has some.
    @inline(never)
    private mutating func flood(_ frame: Frame, _ table: UnsafePointer<ConnectionTable>) {
        var others: UInt64 = 0
        for egress in table.pointee.floodList(from: frame.ingress) {
            let owner = Int(table.pointee.entry(of: egress)?.pointee.worker ?? 0)
            if let connection = connections[egress.index] {
                send(
                    UnsafeMutableRawPointer(mutating: frame.address), Int(frame.length),
                    to: connection, from: Origin(ingress: frame.ingress, isFlooded: true))
            } else if owner != index {
                others |= 1 << UInt64(owner)
                copiesTo[owner] += 1
            } else {
                counters.block(port: egress).add(dropped: .noPeer)
            }
        }
        while others != 0 {
            let owner = others.trailingZeroBitCount
            others &= others &- 1
            append(
                HandoverRecord(
                    length: UInt32(frame.length), ingress: frame.ingress,
                    egress: HandoverRecord.flood, generationOrCopies: copiesTo[owner]),
                frame.address, to: owner, copies: UInt64(copiesTo[owner]))
            copiesTo[owner] = 0
        }
    }
}
