internal import SwitchCore

/// What a connection has of its own where frames travel in a stream.
struct StreamState: ~Copyable {
    var receiver: StreamReceiver
    var sender: StreamSender

    /// - Parameters:
    ///   - ingressLengthMax: bytes of the longest frame that the peer may send.
    ///   - egressLengthMax: bytes of the longest frame that is sent to it.
    ///   - position: where a predecessor stood.
    init(
        framing: StreamFraming, ingressLengthMax: Int, egressLengthMax: Int,
        position: StreamPosition = StreamPosition()
    ) {
        receiver = StreamReceiver(
            framing: framing, lengthMax: ingressLengthMax, position: position)
        sender = StreamSender(
            framing: framing, frameLengthMax: egressLengthMax, unsent: position.unsent)
    }

    /// Counts the frames that were received whole and will not be forwarded, as the connection
    /// leaves.
    mutating func dropReceived(_ counters: CounterBlock) {
        while true {
            receiver.beginTurn()
            switch receiver.next() {
            case .frame(_, let length): counters.add(received: length, dropped: .portRemoved)
            case .oversize(let length): counters.add(received: length, dropped: .oversize)
            case .needsTurn: break
            case .needsBytes: guard receiver.receiveInherited() else { return }
            case .broken: return
            }
        }
    }
}

extension CounterBlock {
    /// Counts a frame that goes nowhere.
    func add(received length: Int, dropped reason: DropReason) {
        add(.receivedFrames)
        add(.receivedBytes, UInt64(truncatingIfNeeded: length))
        add(dropped: reason)
    }
}
