public import SwitchCore

/// What Control decides about a peer's attachment.
public struct ConnectionSettings: Sendable {
    /// The port to attach to.
    public var port: PortID
    /// How frames travel.
    public var transport: TransportKind
    /// An open, non-blocking descriptor; Control closes it after `DataPlaneEvent.retired`.
    public var descriptor: Int32
    /// Longest frame in bytes, Ethernet header and VLAN tag included.
    public var frameLengthMax: Int
    /// Bytes of the egress queue.
    public var queueBytes: Int
    /// Longest time that a frame may wait in the egress queue, in nanoseconds.
    public var queueDelayNanoseconds: UInt64
    /// Frames that the peer sent during the handshake, oldest first.
    public var earlyFrames: [[UInt8]]

    /// Describes an attachment.
    public init(
        port: PortID, transport: TransportKind, descriptor: Int32, frameLengthMax: Int,
        queueBytes: Int, queueDelayNanoseconds: UInt64, earlyFrames: [[UInt8]] = []
    ) {
        self.port = port
        self.transport = transport
        self.descriptor = descriptor
        self.frameLengthMax = frameLengthMax
        self.queueBytes = queueBytes
        self.queueDelayNanoseconds = queueDelayNanoseconds
        self.earlyFrames = earlyFrames
    }
}
