// A peer's attachment to a port, as the worker that owns the port sees it.
//
// Control allocates a connection, publishes its address in the connection table and touches nothing
// but `change` any more; the owner activates it at its next turn, and retires it when the table no
// longer holds it: it cancels every request, reaps the last completion of each, lets go of buffers
// and file slot and only then reports `retired`. After that report and a grace period Control
// closes the descriptor and frees the memory.

internal import CShimsSystem
internal import Glibc
internal import IORing
internal import SwitchCore

/// A frame that a peer sent before its receives could be armed, kept in memory of the connection
/// with headroom before it.
struct EarlyFrame {
    var address: UnsafeMutableRawPointer
    var length: Int
}

/// The state of one attachment; owned by one worker from activation to retirement.
struct Connection: ~Copyable {
    /// Where the connection stands in its life; it only moves forward.
    ///
    /// `abandoned`: the kernel said that nobody is there any more; nothing is sent until Control
    /// detaches.
    enum State { case new, active, abandoned, retiring, retired }

    /// How the worker sends to the peer.
    enum Pace {
        /// Every frame is an SQE; nobody waits.
        case direct
        /// The peer refused a frame lately or may do so soon: frames go by sendmmsg, which stops at
        /// the first refusal and so keeps their order, and wait in `queue` while it refuses. A
        /// stream is always sent to so.
        case careful
    }

    let port: PortID
    let generation: UInt32
    let transport: TransportKind
    /// Borrowed from Control, which closes it after retirement.
    let descriptor: Int32
    /// Longest frame in bytes, Ethernet header and VLAN tag included.
    let frameLengthMax: Int
    /// Longest payload of a segment made for the peer.
    let mtu: Int
    /// Longest frame that goes out without another look: what is above the MTU may have to be cut.
    let plainLengthMax: Int
    let offload: Offload
    /// Bytes before each frame on the way to and from the descriptor: the virtio header, or none.
    let prefix: Int
    /// Bytes that weigh on the socket beside each frame.
    let frameOverhead: Int
    var queueDelayNanoseconds: UInt64
    /// The peer waits while its frames do; see Worker+Pause.
    let pausesOnCongestion: Bool
    /// What Control wants to be different, until the owner has seen to it.
    let change = PendingChange()
    let counters: CounterBlock
    /// Where frames travel in a stream: what that takes. `buffers` is empty then.
    let stream: UnsafeMutablePointer<StreamState>?

    var buffers: BufferRing
    var queue: EgressQueue
    /// Frames of a predecessor's queue that found no room in this one.
    let unqueuedFrames: Int
    let earlyFrames: [EarlyFrame]
    /// `earlyFrames` are still to be forwarded.
    var hasEarlyFrames: Bool

    var state = State.new
    /// A receive, or a device's question whether there is something to read, is in the kernel.
    var receiveArmed = false
    var pollArmed = false
    /// The cancel request whose completion is still to come.
    var cancelPending = false
    var cancelSubmitted = false
    /// The ring knows the descriptor and the buffers.
    var isOpen = false
    var pace: Pace
    /// How it is sent to the peer while it keeps up.
    let restPace: Pace
    /// Bytes that the ring may send before the socket is asked again how full it is.
    var credit = 0
    /// Bytes that the socket may hold in any case.
    let sendBufferLeast: Int
    /// What the socket may hold.
    var sendBuffer: SendBufferLimit
    /// Bytes that the kernel was charged for all that was sent.
    var chargedBytes = 0
    /// Frames of this turn for a careful port with an empty queue: they still lie in receive
    /// buffers.
    var carefulFrames: UnsafeMutableBufferPointer<cshims_gather>
    var carefulOrigins: UnsafeMutableBufferPointer<Origin>
    var carefulCount = 0
    /// Frames that the peer may take at once out of its queue.
    var batchLimit = EgressQueue.batchMax
    var lastRefusal: UInt64 = 0
    var retryAt: UInt64 = 0
    var backoffNanoseconds: UInt64 = Connection.backoffMin
    var standstill = Standstill()
    /// The receive is not armed as too many frames of the peer wait.
    var isPaused = false
    var pausedSince: UInt64 = 0
    var isListedCongested = false
    var isListedForArming = false
    var isListedReadable = false
    var isListedHeldBack = false
    /// Serial of the settlement that saw a success for this port; see `Worker.settle`.
    var successSerial: UInt64 = 0

    private static func grantedSendBuffer(_ settings: borrowing ConnectionSettings) -> Int {
        switch settings.transport {
        case .tap: 0
        case .unixgram, .seqpacket, .stream, .vpnkit:
            max(0, Int(cshims_socket_send_buffer(settings.descriptor)))
        }
    }

    /// No less than what a frame weighs on its socket: the kernel charges its own structures, too
    /// (measured: 768 bytes for 60, 2304 for 1514, 69,888 for 65,000).
    static func charge(ofFrame length: Int) -> Int { charge(ofFrames: 1, bytes: length) }

    /// The same for several frames.
    static func charge(ofFrames count: Int, bytes: Int, overhead: Int = datagramOverhead) -> Int {
        bytes &+ bytes >> 4 &+ count &* overhead
    }

    /// What weighs beside each frame, and beside each call that writes to a stream.
    static let datagramOverhead = 1024

    /// About what the bytes of one call weigh on a stream, where the kernel makes few buffers of
    /// many frames (measured: 768 for 64, 2304 for 1518, 22,784 for 21,760, 132,608 for 130,008).
    static func charge(ofStream bytes: Int) -> Int { bytes &+ bytes >> 6 &+ datagramOverhead }

    /// Bytes beside the longest frame that a socket's queue is never bounded below.
    static let sendBufferReserve = 8 << 10
    /// Bytes that the ring sends at most before the socket is asked how full it is.
    static let creditMax = 512 << 10

    static let backoffMin: UInt64 = 50_000
    static let backoffMax: UInt64 = 5_000_000
    /// How long a port without refusals stays careful.
    static let carefulNanoseconds: UInt64 = 10_000_000
    static let carefulBatchMax = EgressQueue.batchMax

    init(_ settings: borrowing ConnectionSettings, generation: UInt32, counters: CounterBlock)
        throws(RingError)
    {
        port = settings.port
        self.generation = generation
        transport = settings.transport
        descriptor = settings.descriptor
        frameLengthMax = settings.frameLengthMax
        mtu = settings.mtu
        plainLengthMax = min(settings.frameLengthMax, FrameHeader.lengthMin + settings.mtu)
        offload = settings.offload
        prefix = settings.offload.hasHeader ? VirtioNetHeader.length : 0
        queueDelayNanoseconds = settings.queueDelayNanoseconds
        sendBufferLeast = Self.charge(ofFrame: settings.frameLengthMax) + Self.sendBufferReserve
        sendBuffer = SendBufferLimit(
            least: sendBufferLeast, most: settings.sendBuffer ?? Self.grantedSendBuffer(settings))
        precondition(settings.transport != .tap || !settings.pausesOnCongestion)
        pausesOnCongestion = settings.pausesOnCongestion
        self.counters = counters
        let lengthMax = settings.offload.ingressLengthMax(maxFrame: settings.frameLengthMax)
        let framing = settings.transport.framing
        frameOverhead = framing?.prefixLength ?? Self.datagramOverhead
        // One byte more than the longest frame shows an oversize frame of a TAP, which cuts
        // silently.
        buffers = try BufferRing(
            group: UInt16(settings.port.index),
            count: Self.bufferCount(frameLengthMax: lengthMax),
            bufferLength: framing == nil ? lengthMax + 1 : 1, prefix: prefix)
        let position = settings.streamPosition ?? StreamPosition()
        stream = framing.map { framing in
            Self.makeStream(
                StreamState(
                    framing: framing, ingressLengthMax: lengthMax,
                    egressLengthMax: settings.frameLengthMax, position: position))
        }
        restPace = framing == nil ? .direct : .careful
        pace = restPace
        var queue = EgressQueue(
            capacity: settings.queueBytes, discipline: settings.queueDiscipline, prefix: prefix,
            seed: settings.queueSeed)
        unqueuedFrames = queue.takeIn(
            settings.waitingFrames, lengthMax: prefix + settings.frameLengthMax)
        self.queue = queue
        earlyFrames = settings.earlyFrames.map { bytes in
            let memory = UnsafeMutableRawPointer.allocate(
                byteCount: BufferRing.headroom + max(1, bytes.count), alignment: 16)
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: BufferRing.headroom)
            let copy = memory + BufferRing.headroom
            bytes.withUnsafeBytes {
                copy.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(copy), byteCount: $0.count)
            }
            return EarlyFrame(address: copy, length: bytes.count)
        }
        hasEarlyFrames = !earlyFrames.isEmpty
        let batchMax = framing == nil ? Self.carefulBatchMax : StreamSender.batchMax
        carefulFrames = .allocate(capacity: batchMax)
        carefulOrigins = .allocate(capacity: batchMax)
    }

    deinit {
        for frame in earlyFrames { (frame.address - BufferRing.headroom).deallocate() }
        carefulFrames.deallocate()
        carefulOrigins.deallocate()
        stream?.deinitialize(count: 1)
        stream?.deallocate()
    }

    private static func makeStream(
        _ state: consuming StreamState
    ) -> UnsafeMutablePointer<StreamState> {
        let stream = UnsafeMutablePointer<StreamState>.allocate(capacity: 1)
        stream.initialize(to: state)
        return stream
    }

    /// Whether the end of a frame has to be sent before anything else.
    var hasRest: Bool { stream?.pointee.sender.hasRest ?? false }

    static let bufferCountMax = 64

    /// Receive buffers of a port: few and warm beats many and cold, most of all for large frames.
    static func bufferCount(frameLengthMax: Int) -> Int {
        frameLengthMax <= 2048 ? bufferCountMax : frameLengthMax <= 9216 ? 32 : 16
    }

    /// Requests in the kernel that may still write into `buffers` or name this connection in a
    /// completion.
    var hasOutstandingRequests: Bool { receiveArmed || pollArmed || cancelPending }
}
