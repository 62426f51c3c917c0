// Frames of streams, by recvmsg and sendmsg.
//
// The ring is only asked to say when there is something to read, as of devices (Worker+Devices):
// one call then brings all that has come, many frames where they are small, into memory of the
// connection. A receive of the ring would end after each piece that the peer wrote.
//
// Sending is always careful (Worker+Queue), since of several sends of the ring a later one could go
// on where an earlier one was cut off. What is left of a frame that was cut off goes before
// everything else (StreamSender), and until then the port counts as congested.

internal import CShimsSystem
internal import Glibc
internal import IORing
internal import SwitchCore

extension Worker where Backend: ~Copyable {
    /// Frames that one stream adds to a turn.
    private static var streamFramesMax: Int { 1024 }

    /// Adds what a stream has to the batch; false when there is no more for now, or its port is to
    /// wait.
    @inline(never)
    mutating func mayHaveMore(
        afterReading stream: UnsafeMutablePointer<StreamState>,
        of connection: UnsafeMutablePointer<Connection>, upTo room: Int
    ) -> Bool {
        guard let limit = frameLimit(of: connection, room: room) else { return false }
        stream.pointee.receiver.beginTurn()
        var readsLeft = stream.pointee.receiver.readsMax
        var isEmptied = false
        while frameCount < limit {
            switch stream.pointee.receiver.next() {
            case .frame(let address, let length):
                append(address, length: length, connection, buffer: Self.noBuffer)
            case .oversize(let length):
                // It is passed over as it arrives.
                connection.pointee.counters.add(received: length, dropped: .oversize)
            case .needsTurn: return true
            case .broken(let ending):
                end(connection, ending)
                return false
            case .needsBytes:
                guard !isEmptied else {
                    listForArming(connection)
                    return false
                }
                guard readsLeft > 0 else { return true }
                readsLeft &-= 1
                switch receive(stream, connection) {
                case .all: break
                case .some: isEmptied = true
                case .none: return false
                }
            }
        }
        return true
    }

    /// How much came of what was asked for.
    private enum Arrival { case all, some, none }

    private mutating func receive(
        _ stream: UnsafeMutablePointer<StreamState>,
        _ connection: UnsafeMutablePointer<Connection>
    ) -> Arrival {
        if stream.pointee.receiver.receiveInherited() { return .all }
        let (torn, stage) = stream.pointee.receiver.places()
        let count = backend.receiveStream(
            descriptor: connection.pointee.descriptor, torn, stage)
        if count > 0 {
            stream.pointee.receiver.receive(count)
            // A socket that gives less than was asked for is empty.
            return count == Int(truncatingIfNeeded: torn.length &+ stage.length) ? .all : .some
        }
        switch -count {
        case 0:
            end(
                connection,
                stream.pointee.receiver.isBetweenFrames ? .closed : .closedAmidFrame)
        case Int(EAGAIN), Int(EINTR), Int(ENOMEM), Int(ENOBUFS): listForArming(connection)
        case let errno:
            reportPeerGone(connection, errno: Int32(truncatingIfNeeded: errno))
        }
        return .none
    }

    /// The number of frames in the batch up to which a stream may add some; nil: its port is to
    /// wait.
    private mutating func frameLimit(
        of connection: UnsafeMutablePointer<Connection>, room: Int
    ) -> Int? {
        guard connection.pointee.state == .active, !connection.pointee.isPaused else { return nil }
        let limit = frameCount &+ min(Self.streamFramesMax, room)
        guard connection.pointee.pausesOnCongestion else { return limit }
        let left = connection.pointee.buffers.count &- waitingFrames(of: connection)
        guard left > 0 else {
            // The frames that wait may be those of a former connection.
            pause(connection)
            listHeldBack(connection)
            return nil
        }
        return min(limit, frameCount &+ left)
    }

    /// Ends a connection whose peer has, or that nothing more can be received from.
    mutating func end(_ connection: UnsafeMutablePointer<Connection>, _ ending: PeerEnding) {
        if ending.isFault { connection.pointee.counters.add(.peerFaults, 1) }
        reportPeerGone(connection, errno: 0, ending)
    }

    // MARK: Sending

    /// Sends frames to a connection now, in order, up to the first refusal, and counts them.
    /// - Returns: the number taken, or -errno when it is none.
    mutating func sendBatch(
        _ frames: UnsafeMutableBufferPointer<cshims_gather>,
        to connection: UnsafeMutablePointer<Connection>
    ) -> Int {
        if let stream = connection.pointee.stream { return send(frames, to: connection, stream) }
        let result = backend.sendBatch(
            descriptor: connection.pointee.descriptor, transport: connection.pointee.transport,
            frames)
        if result > 0 { count(frames[..<result], connection) }
        return result
    }

    private func count(
        _ frames: Slice<UnsafeMutableBufferPointer<cshims_gather>>,
        _ connection: UnsafeMutablePointer<Connection>
    ) {
        var bytes: UInt64 = 0
        for frame in frames { bytes &+= frame.head.length &+ frame.body.length }
        countSent(frames.count, bytes: bytes, connection)
    }

    @inline(never)
    private mutating func send(
        _ frames: UnsafeMutableBufferPointer<cshims_gather>,
        to connection: UnsafeMutablePointer<Connection>,
        _ stream: UnsafeMutablePointer<StreamState>
    ) -> Int {
        let pieces = stream.pointee.sender.gather(frames)
        let result = backend.sendStream(
            descriptor: connection.pointee.descriptor, pieces)
        guard result >= 0 else { return result }
        let progress = stream.pointee.sender.send(result, of: frames)
        let counters = connection.pointee.counters
        counters.add(.sentFrames, UInt64(truncatingIfNeeded: progress.sentFrames))
        counters.add(.sentBytes, UInt64(truncatingIfNeeded: progress.sentBytes))
        connection.pointee.chargedBytes &+= Connection.charge(ofStream: result)
        if stream.pointee.sender.hasRest {
            // It was cut off because the socket is full.
            connection.pointee.backoffNanoseconds = Connection.backoffMin
            refused(connection, -EAGAIN)
        }
        return progress.taken > 0 || frames.isEmpty ? progress.taken : -Int(EAGAIN)
    }

    /// Sends what is left of a frame that was cut off, once its time has come.
    mutating func sendRest(of connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.hasRest, connection.pointee.state == .active,
            now >= connection.pointee.retryAt
        else { return }
        let none = UnsafeMutableBufferPointer(rebasing: connection.pointee.carefulFrames[..<0])
        let result = Int32(truncatingIfNeeded: sendBatch(none, to: connection))
        gaugeQueue(connection)
        if result >= 0 {
            guard !connection.pointee.hasRest else { return }
            connection.pointee.retryAt = 0
            connection.pointee.backoffNanoseconds = Connection.backoffMin
        } else if isFull(result) {
            refused(connection, result)
        } else {
            reportPeerGone(connection, errno: -result)
        }
    }
}
