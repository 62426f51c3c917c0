// A stream on its way to a successor of this switch.
//
// A stream has no borders that the kernel would know: where the next frame begins follows from all
// bytes before. So its position goes along, and the successor goes on in the middle of a frame, in
// both directions.
//
//     from the peer   [ received and not forwarded ][ what the socket holds ...
//     to the peer     [ unsent ][ frames that waited ][ frames that come ...
//
// The position is somebody else's document to whoever takes it: whatever it says, it costs its own
// peer at most. Bytes that are no frames end the connection as they would if the peer had sent
// them.

public import SwitchCore

/// Where a stream stands: what its next reader and writer have to know to go on with it.
public struct StreamPosition: Sendable, Equatable {
    /// Bytes that were received and belong to frames that were not forwarded, lengths included, as
    /// they came.
    public var received: [UInt8]
    /// Bytes still to come of a frame that is passed over.
    public var skipped: Int
    /// Bytes of a frame of which a part was sent: they come before anything else.
    public var unsent: [UInt8]

    /// Describes a position; as it is, that of a stream that has just begun.
    public init(received: [UInt8] = [], skipped: Int = 0, unsent: [UInt8] = []) {
        self.received = received
        self.skipped = skipped
        self.unsent = unsent
    }
}

extension DataPlane {
    /// Where the stream of a port stands; nil where the port has no connection, or the kernel keeps
    /// its frames apart.
    ///
    /// A frame with an unsent end counts as waiting here, and as sent where the end is sent.
    /// - Precondition: everything is held, and the workers are at rest.
    public func streamPosition(of port: PortID) -> StreamPosition? {
        precondition(context.hold.level == .all && isAtRest, "a stream is read while it moves")
        guard let stream = connection(of: port)?.pointee.stream else { return nil }
        let (received, skipped) = stream.pointee.receiver.remainder
        return StreamPosition(
            received: received, skipped: skipped, unsent: stream.pointee.sender.unsent)
    }
}
