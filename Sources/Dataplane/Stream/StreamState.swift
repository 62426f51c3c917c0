/// What a connection has of its own where frames travel in a stream.
struct StreamState: ~Copyable {
    var receiver: StreamReceiver
    var sender: StreamSender

    /// - Parameters:
    ///   - ingressLengthMax: bytes of the longest frame that the peer may send.
    ///   - egressLengthMax: bytes of the longest frame that is sent to it.
    init(framing: StreamFraming, ingressLengthMax: Int, egressLengthMax: Int) {
        receiver = StreamReceiver(framing: framing, lengthMax: ingressLengthMax)
        sender = StreamSender(
            framing: framing, frameLengthMax: egressLengthMax)
    }
}
