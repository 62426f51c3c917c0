// What a switch says about itself, as one value.
//
// The switch fills a StatusReport, the control socket sends it as JSON, and the commands read it
// back: the table of `ringswitch status`, the Prometheus text and the JSON are three views of the
// same value, so they cannot disagree. Swift names become snake_case in JSON (ReportJSON).
//
// The counters of a running switch are read while it forwards, so a report taken under traffic is
// not one instant: frames in flight between two reads show up as a small accounting difference,
// which is zero once the traffic rests.

public import Foundation

/// The whole state of one switch.
public struct StatusReport: Codable, Sendable, Equatable {
    /// Name of the switch (`[switch] name`).
    public var name: String
    /// Version of the program that runs it.
    public var version: String
    /// Process id of the switch.
    public var pid: Int32
    /// Seconds since the switch started, from a monotonic clock; differences give exact intervals.
    public var uptimeSeconds: Double
    /// Directory that holds `control.sock`, and sockets of ports with a relative path.
    public var runtimeDirectory: String
    /// File that configured the switch; `nil` when it runs on the defaults.
    public var configurationFile: String?
    /// One element a worker thread, in order of their index.
    public var workers: [WorkerStatus]
    /// One element a port, in order of their index.
    public var ports: [PortStatus]
    /// Occupation of the MAC table.
    public var macTable: MACTableStatus
    /// Sums over every port that ever was, removed ones included.
    public var totals: TrafficTotals
    /// Sentences for the administrator, each with its remedy.
    public var warnings: [String]

    /// A report of these parts.
    public init(
        name: String, version: String, pid: Int32, uptimeSeconds: Double,
        runtimeDirectory: String, configurationFile: String? = nil,
        workers: [WorkerStatus], ports: [PortStatus], macTable: MACTableStatus,
        totals: TrafficTotals, warnings: [String] = []
    ) {
        self.name = name
        self.version = version
        self.pid = pid
        self.uptimeSeconds = uptimeSeconds
        self.runtimeDirectory = runtimeDirectory
        self.configurationFile = configurationFile
        self.workers = workers
        self.ports = ports
        self.macTable = macTable
        self.totals = totals
        self.warnings = warnings
    }
}

/// One worker thread.
public struct WorkerStatus: Codable, Sendable, Equatable {
    /// Position of the worker, 0-based.
    public var index: Int
    /// CPU that the worker is pinned to (`[switch] cpus`); `nil` when it floats.
    public var cpu: Int?
    /// Turns taken: iterations of the worker's loop.
    public var turns: UInt64
    /// Turns that began with a wait in the ring; the others found work left by the turn before.
    public var wakeups: UInt64
    /// Completions that belonged to a former connection and were ignored.
    public var staleCompletions: UInt64

    /// A worker with these counters.
    public init(
        index: Int, cpu: Int? = nil, turns: UInt64 = 0, wakeups: UInt64 = 0,
        staleCompletions: UInt64 = 0
    ) {
        self.index = index
        self.cpu = cpu
        self.turns = turns
        self.wakeups = wakeups
        self.staleCompletions = staleCompletions
    }
}

/// Occupation and misfortunes of the MAC table.
public struct MACTableStatus: Codable, Sendable, Equatable {
    /// Addresses known now, aged ones that nobody swept yet included.
    public var entries: Int
    /// Most addresses that are learned (`[switch] mac_limit`).
    public var limit: Int
    /// Moves that were refused because the address moved less than a second ago.
    public var movesDamped: UInt64
    /// Addresses that were not learned for want of room.
    public var full: UInt64

    /// A table with these counters.
    public init(entries: Int, limit: Int, movesDamped: UInt64 = 0, full: UInt64 = 0) {
        self.entries = entries
        self.limit = limit
        self.movesDamped = movesDamped
        self.full = full
    }
}

/// One configured port, and the peer that is attached to it.
public struct PortStatus: Codable, Sendable, Equatable {
    /// How a port stands.
    public enum State: String, Codable, Sendable {
        /// Waits for a peer's first datagram.
        case listening
        /// Tries to reach the peer that it connects to.
        case connecting
        /// A peer is attached and frames flow.
        case attached
        /// A device that is up.
        case up
        /// Out of use; `lastError` says why.
        case failed

        /// Whether frames can flow.
        public var isUp: Bool { self == .attached || self == .up }
    }

    /// Name of the port.
    public var name: String
    /// Index of the port, reused after it is removed.
    public var index: Int
    /// Transport: `unixgram`, `stream`, `seqpacket`, `vpnkit` or `tap`.
    public var type: String
    /// What the peer leaves to others: `none`, `vnet` or `raw` (`offload`).
    public var offload: String
    /// How the port stands.
    public var state: State
    /// Moment of the last change of `state`, by the wall clock.
    public var since: Date
    /// Path of the socket that the port listens on, or connects to; `nil` for devices.
    public var path: String?
    /// Device name of a `tap` port.
    public var device: String?
    /// Index of the worker that owns the port.
    public var worker: Int
    /// Longest frame in bytes that enters or leaves the port (`max_frame`).
    public var maxFrame: Int
    /// Bytes that the kernel now lets wait for the peer, as it charges them (SO_SNDBUF): at most
    /// `send_buffer`, and less where the peer reads slowly. `nil` for devices.
    public var effectiveSendBuffer: Int?
    /// Who is attached; `nil` while nobody is, and for devices.
    public var peer: PeerStatus?
    /// What the port did since it was configured.
    public var counters: PortCounters
    /// What waits to leave by the port.
    public var queue: QueueStatus
    /// How often the peer had to wait; `nil` where it never has to (`on_congestion = "drop"`).
    public var pause: PauseStatus?
    /// Frames that the host sent faster than the switch read them, dropped by the device: the
    /// switch has never seen them, so they are in no sum. `nil` for sockets.
    public var deviceQueueFull: UInt64?
    /// The last thing that went wrong on this port, with its remedy where there is one.
    public var lastError: String?

    /// A port; what is left out is absent or has not occurred.
    public init(
        name: String, index: Int, type: String, offload: String = "none", state: State,
        since: Date, path: String? = nil, device: String? = nil, worker: Int = 0, maxFrame: Int,
        effectiveSendBuffer: Int? = nil,
        peer: PeerStatus? = nil, counters: PortCounters = PortCounters(),
        queue: QueueStatus = QueueStatus(), pause: PauseStatus? = nil, lastError: String? = nil
    ) {
        self.name = name
        self.index = index
        self.type = type
        self.offload = offload
        self.state = state
        self.since = since
        self.path = path
        self.device = device
        self.worker = worker
        self.maxFrame = maxFrame
        self.effectiveSendBuffer = effectiveSendBuffer
        self.peer = peer
        self.counters = counters
        self.queue = queue
        self.pause = pause
        self.lastError = lastError
    }
}

/// The process at the other end of a port, as the kernel named it at the handshake.
///
/// `command` and `address` are chosen by that process: escape them before they reach a terminal.
public struct PeerStatus: Codable, Sendable, Equatable {
    /// Process id; `nil` where the kernel does not tell.
    public var pid: Int32?
    /// User id; `nil` where the kernel does not tell.
    public var uid: UInt32?
    /// The process's own name or command line.
    public var command: String?
    /// The peer's socket path.
    public var address: String?

    /// A peer of which this much is known.
    public init(
        pid: Int32? = nil, uid: UInt32? = nil, command: String? = nil, address: String? = nil
    ) {
        self.pid = pid
        self.uid = uid
        self.command = command
        self.address = address
    }
}

/// What a port did since it was configured. Bytes are of whole Ethernet frames without FCS.
public struct PortCounters: Codable, Sendable, Equatable {
    /// Frames received.
    public var receivedFrames: UInt64
    /// Bytes of the frames received.
    public var receivedBytes: UInt64
    /// Frames sent.
    public var sentFrames: UInt64
    /// Bytes of the frames sent.
    public var sentBytes: UInt64
    /// Copies that floods of frames from this port added: N - 1 for a flood to N ports.
    public var floodCopies: UInt64
    /// Frames that segmentation for this port added: N - 1 for a frame that left as N segments.
    public var segmentCopies: UInt64
    /// Checksums completed on the way out by this port.
    public var checksumsCompleted: UInt64
    /// Handshake datagrams seen; they are not frames.
    public var handshakes: UInt64
    /// Connections that ended because the peer broke the rules of its transport.
    public var peerFaults: UInt64
    /// Frames dropped, by the name of the reason; reasons that never occurred may be absent.
    public var drops: [String: UInt64]

    /// Counters; those left out are zero.
    public init(
        receivedFrames: UInt64 = 0, receivedBytes: UInt64 = 0, sentFrames: UInt64 = 0,
        sentBytes: UInt64 = 0, floodCopies: UInt64 = 0, segmentCopies: UInt64 = 0,
        checksumsCompleted: UInt64 = 0, handshakes: UInt64 = 0,
        peerFaults: UInt64 = 0, drops: [String: UInt64] = [:]
    ) {
        self.receivedFrames = receivedFrames
        self.receivedBytes = receivedBytes
        self.sentFrames = sentFrames
        self.sentBytes = sentBytes
        self.floodCopies = floodCopies
        self.segmentCopies = segmentCopies
        self.checksumsCompleted = checksumsCompleted
        self.handshakes = handshakes
        self.peerFaults = peerFaults
        self.drops = drops
    }

    /// Frames dropped for any reason.
    public var droppedFrames: UInt64 { drops.values.reduce(0, &+) }
}

/// Egress queue of a port: what waits in the switch because the kernel's buffer is full.
public struct QueueStatus: Codable, Sendable, Equatable {
    /// Frames that wait.
    public var frames: UInt64
    /// Bytes that wait.
    public var bytes: UInt64
    /// Most bytes that ever waited.
    public var highWaterBytes: UInt64
    /// In which order frames leave: `fair` or `fifo`.
    public var order: String
    /// Frames that were marked (ECN) for their flow to slow down.
    public var marks: UInt64

    /// A queue; an empty fair one that never filled when everything is left out.
    public init(
        frames: UInt64 = 0, bytes: UInt64 = 0, highWaterBytes: UInt64 = 0, order: String = "fair",
        marks: UInt64 = 0
    ) {
        self.frames = frames
        self.bytes = bytes
        self.highWaterBytes = highWaterBytes
        self.order = order
        self.marks = marks
    }
}

/// What a port's peer had to wait for others, since the port was configured.
public struct PauseStatus: Codable, Sendable, Equatable {
    /// Whether it has to wait now.
    public var isPaused: Bool
    /// How often it had to.
    public var count: UInt64
    /// For how long in all, pauses that are over.
    public var seconds: Double

    /// Pauses; none when everything is left out.
    public init(isPaused: Bool = false, count: UInt64 = 0, seconds: Double = 0) {
        self.isPaused = isPaused
        self.count = count
        self.seconds = seconds
    }
}

/// Sums that obey `received + floodCopies + segmentCopies = sent + dropped + queued` once traffic
/// rests.
public struct TrafficTotals: Codable, Sendable, Equatable {
    /// Frames received.
    public var receivedFrames: UInt64
    /// Bytes of the frames received.
    public var receivedBytes: UInt64
    /// Frames sent.
    public var sentFrames: UInt64
    /// Bytes of the frames sent.
    public var sentBytes: UInt64
    /// Copies that floods added.
    public var floodCopies: UInt64
    /// Frames that segmentation added.
    public var segmentCopies: UInt64
    /// Frames that wait in egress queues.
    public var queuedFrames: UInt64
    /// Frames dropped, by the name of the reason.
    public var drops: [String: UInt64]

    /// Sums; those left out are zero.
    public init(
        receivedFrames: UInt64 = 0, receivedBytes: UInt64 = 0, sentFrames: UInt64 = 0,
        sentBytes: UInt64 = 0, floodCopies: UInt64 = 0, segmentCopies: UInt64 = 0,
        queuedFrames: UInt64 = 0, drops: [String: UInt64] = [:]
    ) {
        self.receivedFrames = receivedFrames
        self.receivedBytes = receivedBytes
        self.sentFrames = sentFrames
        self.sentBytes = sentBytes
        self.floodCopies = floodCopies
        self.segmentCopies = segmentCopies
        self.queuedFrames = queuedFrames
        self.drops = drops
    }

    /// Adds up `ports`; start from the totals of removed ports to keep their share.
    public init(of ports: [PortStatus], onTopOf removed: TrafficTotals = TrafficTotals()) {
        self = removed
        for port in ports {
            receivedFrames &+= port.counters.receivedFrames
            receivedBytes &+= port.counters.receivedBytes
            sentFrames &+= port.counters.sentFrames
            sentBytes &+= port.counters.sentBytes
            floodCopies &+= port.counters.floodCopies
            segmentCopies &+= port.counters.segmentCopies
            queuedFrames &+= port.queue.frames
            drops.merge(port.counters.drops, uniquingKeysWith: &+)
        }
    }

    /// Frames dropped for any reason.
    public var droppedFrames: UInt64 { drops.values.reduce(0, &+) }

    /// Frames that came in or were copied but are in no outgoing counter; 0 is exact accounting.
    ///
    /// Negative when more left than came, which a snapshot under traffic may show for a moment.
    public var unaccountedFrames: Int64 {
        Int64(
            bitPattern: (receivedFrames &+ floodCopies &+ segmentCopies)
                &- (sentFrames &+ droppedFrames &+ queuedFrames))
    }
}
