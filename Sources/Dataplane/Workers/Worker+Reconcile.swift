// Connections come and go with the connection table.

internal import Glibc
internal import IORing
internal import SwitchCore

extension Worker where Backend: ~Copyable {
    /// Activates the connections that a new table brings to this worker and retires those that it
    /// no longer holds.
    @inline(never)
    mutating func reconcile(_ table: UnsafePointer<ConnectionTable>) {
        tableVersion = table.pointee.version
        followHold()
        for position in 0..<connections.count {
            let published = publishedConnection(at: position, table)
            if let connection = connections[position], connection != published {
                retire(connection)
            }
            if let published, connections[position] == nil { activate(published) }
            if let published { applyChange(of: published) }
            if published == nil { retireUnseen(position, table) }
        }
        // Only now: early frames may go to any of the new connections.
        for position in 0..<connections.count {
            guard let connection = connections[position], connection.pointee.hasEarlyFrames,
                connection.pointee.state == .active, hold == .none
            else { continue }
            injectEarlyFrames(connection, table)
        }
    }

    /// Reports a connection that came and went between two turns: its table was replaced before
    /// this worker read it.
    private mutating func retireUnseen(_ position: Int, _ table: UnsafePointer<ConnectionTable>) {
        let port = PortID(index: position)
        guard let entry = table.pointee.entry(of: port), !entry.pointee.isAttached,
            Int(entry.pointee.worker) == index,
            entry.pointee.generation != seenGenerations[position]
        else { return }
        seenGenerations[position] = entry.pointee.generation
        post(
            DataPlaneEvent(
                kind: .retired, port: port, generation: entry.pointee.generation, errno: 0))
    }

    private func publishedConnection(
        at position: Int, _ table: UnsafePointer<ConnectionTable>
    ) -> UnsafeMutablePointer<Connection>? {
        guard let entry = table.pointee.attachedEntry(of: PortID(index: position)),
            Int(entry.pointee.worker) == index
        else { return nil }
        return UnsafeMutablePointer(bitPattern: entry.pointee.attachment)
    }

    private mutating func activate(_ connection: UnsafeMutablePointer<Connection>) {
        let position = connection.pointee.port.index
        connections[position] = connection
        seenGenerations[position] = connection.pointee.generation
        let result = backend.open(
            slot: UInt32(position), descriptor: connection.pointee.descriptor,
            transport: connection.pointee.transport, buffers: &connection.pointee.buffers)
        guard result >= 0 else {
            connection.pointee.state = .abandoned
            post(.activationFailed, connection, errno: -result)
            return
        }
        connection.pointee.isOpen = true
        connection.pointee.counters.set(.sendBufferBytes, to: 0)
        connection.pointee.state = .active
        links.backlog.setPausing(connection.pointee.port, connection.pointee.pausesOnCongestion)
        if let stream = connection.pointee.stream, stream.pointee.receiver.hasInherited {
            listReadable(connection)
        } else {
            listForArming(connection)
        }
        // What waited at a predecessor goes before anything that comes.
        if !connection.pointee.queue.isEmpty || connection.pointee.hasRest {
            becomeCareful(connection)
            gaugeQueue(connection)
        }
        post(.activated, connection, errno: 0)
    }

    private mutating func retire(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.state != .retiring else { return }
        dropQueue(connection, connection.pointee.state == .abandoned ? .noPeer : .portRemoved)
        connection.pointee.stream?.pointee.dropReceived(connection.pointee.counters)
        connection.pointee.state = .retiring
        retiring.append(connection)
    }

    mutating func listForArming(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.state == .active, !connection.pointee.isListedForArming else {
            return
        }
        connection.pointee.isListedForArming = true
        arming.append(connection)
    }

    /// Arms the receives that ended in this turn, or were never armed, now that the buffers are
    /// back.
    @inline(never)
    mutating func armReceives() {
        while arming.count > 0 {
            let connection = arming[arming.count - 1]
            // Without room in the submission queue the next turn tries again.
            guard armReceive(connection) else {
                hasUnfinishedRequests = true
                return
            }
            connection.pointee.isListedForArming = false
            arming.remove(at: arming.count - 1)
        }
    }

    /// Arms a connection's receive where it is not armed, nor paused; false if there was no room
    /// for it.
    mutating func armReceive(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        guard connection.pointee.state == .active, !connection.pointee.receiveArmed,
            !connection.pointee.isPaused, hold == .none
        else { return true }
        connection.pointee.receiveArmed = backend.armReceive(
            slot: UInt32(connection.pointee.port.index), transport: connection.pointee.transport,
            tag: tag(CompletionKind.receive, connection))
        return connection.pointee.receiveArmed
    }

    /// Cancels the requests of retiring connections, and lets go of those whose last completion has
    /// been reaped.
    @inline(never)
    mutating func retireConnections() {
        var position = 0
        while position < retiring.count {
            let connection = retiring[position]
            if connection.pointee.isOpen, !connection.pointee.cancelSubmitted {
                let isStaged = backend.cancelAll(
                    slot: UInt32(connection.pointee.port.index),
                    tag: tag(CompletionKind.cancel, connection))
                connection.pointee.cancelSubmitted = isStaged
                connection.pointee.cancelPending = isStaged
                if !isStaged { hasUnfinishedRequests = true }
            }
            guard isQuiet(connection) else {
                position += 1
                continue
            }
            retiring.remove(at: position)
            release(connection)
        }
    }

    private func isQuiet(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        (!connection.pointee.isOpen || connection.pointee.cancelSubmitted)
            && !connection.pointee.hasOutstandingRequests
            && !connection.pointee.isListedCongested && !connection.pointee.isListedForArming
            && !connection.pointee.isListedReadable && !connection.pointee.isListedHeldBack
    }

    private mutating func release(_ connection: UnsafeMutablePointer<Connection>) {
        if connection.pointee.isOpen {
            backend.close(
                slot: UInt32(connection.pointee.port.index), buffers: &connection.pointee.buffers)
        }
        connections[connection.pointee.port.index] = nil
        connection.pointee.state = .retired
        // The last touch: Control may free the connection once it has this event.
        post(.retired, connection, errno: 0)
    }

    func tag(_ kind: UInt8, _ connection: UnsafeMutablePointer<Connection>) -> CompletionTag {
        CompletionTag(
            kind: kind, port: connection.pointee.port.rawValue,
            generation: UInt16(truncatingIfNeeded: connection.pointee.generation), slot: 0)
    }

    func post(
        _ kind: DataPlaneEvent.Kind, _ connection: UnsafeMutablePointer<Connection>, errno: Int32,
        _ ending: PeerEnding = .failed
    ) {
        post(
            DataPlaneEvent(
                kind: kind, port: connection.pointee.port,
                generation: connection.pointee.generation, errno: errno, ending: ending))
    }

    /// Not inlined: it counts references, which the audit of the hot functions lets pass here
    /// alone.
    @inline(never)
    private func post(_ event: DataPlaneEvent) { context.events[index].post(event) }
}
