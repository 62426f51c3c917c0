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
}
