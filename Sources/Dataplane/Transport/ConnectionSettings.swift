public import SwitchCore

/// What Control decides about a peer's attachment.
public struct ConnectionSettings: Sendable {
    /// The port to attach to.
    public var port: PortID
    /// How frames travel.
    public var transport: TransportKind
    /// An open, non-blocking descriptor; Control closes it after `DataPlaneEvent.retired`.
    public var descriptor: Int32
    /// Longest frame in bytes, Ethernet header and VLAN tag included. A frame with a segment size
    /// in its virtio header counts as its segments.
    public var frameLengthMax: Int
    /// Longest payload of a segment that is made for the peer.
    public var mtu: Int
    /// What the peer leaves to others, in both directions.
    public var offload: Offload
    /// Most bytes that may wait in the socket for the peer, as the kernel charges them; nil: what
    /// it has granted.
    public var sendBuffer: Int?
    /// Bytes of the egress queue.
    public var queueBytes: Int
    /// In which order frames leave the egress queue.
    public var queueDiscipline: QueueDiscipline
    /// Keeps peers from knowing which flows meet in a place of the queue.
    public var queueSeed: UInt64
    /// Longest time that a frame may wait in the egress queue, in nanoseconds.
    public var queueDelayNanoseconds: UInt64
    /// Whether the peer waits, at most for that time, while its frames wait in queues of other
    /// ports. Not for devices, which would drop meanwhile.
    public var pausesOnCongestion: Bool
    /// How often frames of the peer may be flooded.
    public var floodRate: FloodRate
    /// Frames that the peer sent during the handshake, oldest first.
    public var earlyFrames: [[UInt8]]
    /// Frames that waited for the peer at a predecessor of this switch, oldest first.
    public var waitingFrames: [WaitingFrame]
    /// Where a predecessor of this switch stood in the stream; nil: at its beginning. Means nothing
    /// where the kernel keeps frames apart.
    public var streamPosition: StreamPosition?

    /// Describes an attachment; without `mtu` it is what `frameLengthMax` leaves for the payload.
    public init(
        port: PortID, transport: TransportKind, descriptor: Int32, frameLengthMax: Int,
        mtu: Int? = nil, offload: Offload = .none, sendBuffer: Int? = nil,
        queueBytes: Int, queueDiscipline: QueueDiscipline = .fifo,
        queueSeed: UInt64 = .random(in: .min ... .max), queueDelayNanoseconds: UInt64,
        pausesOnCongestion: Bool = false, floodRate: FloodRate = .unlimited,
        earlyFrames: [[UInt8]] = [],
        waitingFrames: [WaitingFrame] = [], streamPosition: StreamPosition? = nil
    ) {
        self.port = port
        self.transport = transport
        self.descriptor = descriptor
        self.frameLengthMax = frameLengthMax
        self.mtu = mtu ?? frameLengthMax - FrameHeader.lengthMin - FrameHeader.tagLength
        self.offload = offload
        self.sendBuffer = sendBuffer
        self.queueBytes = queueBytes
        self.queueDiscipline = queueDiscipline
        self.queueSeed = queueSeed
        self.queueDelayNanoseconds = queueDelayNanoseconds
        self.pausesOnCongestion = pausesOnCongestion
        self.floodRate = floodRate
        self.earlyFrames = earlyFrames
        self.waitingFrames = waitingFrames
        self.streamPosition = streamPosition
    }
}
