public import SwitchCore

/// A switch and its ports as configured, with every default filled in and `count` expanded.
///
/// A value of this type has passed every check: paths are absolute and fit into a socket address,
/// names are unique, accounts exist, sizes and times are in range and agree with each other.
///
/// The way from a file to this value, one file a step: `TOMLNode` (text to a tree that knows its
/// lines), `ConfigurationSchema` (every key in one table: type, range, default, meaning),
/// `ConfigurationDecoder` (tree to settings), `PortResolver` (settings to ports, and the checks
/// that need more than one key). `Configuration.toml` goes the way back.
public struct Configuration: Equatable, Sendable {
    /// Name of the switch, shown by `status`.
    public var name: String
    /// Number of worker threads.
    public var workers: Int
    /// Absolute path of the directory that holds the lock, the control socket and relative paths.
    public var runtimeDirectory: String
    /// Seconds after which an idle entry leaves the MAC table.
    public var macAgeing: Int
    /// Number of entries that the MAC table holds.
    public var macLimit: Int
    /// CPU of each worker, in order; empty when workers are not pinned.
    public var cpus: [Int]
    /// Nanoseconds for which a worker looks for frames before it sleeps.
    public var busyPollNanoseconds: Int
    /// All ports, in the order of the file.
    public var ports: [PortConfiguration]

    /// Largest number of ports of a switch.
    public static let portLimit = 1024
    /// Largest length of a Unix socket's path in bytes: `sun_path` less its final zero byte.
    /// - Source: unix(7), "Address format".
    public static let socketPathLimit = 107
    /// File names in the runtime directory that belong to the switch itself.
    public static let reservedFileNames = [
        "lock", "control.sock", "handover.sock", "control.new", "handover.new",
    ]

    init(_ settings: SwitchSettings, environment: ConfigurationEnvironment) {
        var settings = settings
        for key in ConfigurationSchema.switchKeys { key.fillDefault(&settings) }
        // Every key of a switch but runtime_dir has a built-in value, which was just filled in.
        name = settings.name!
        workers = settings.workers!
        runtimeDirectory = settings.runtimeDirectory ?? environment.runtimeDirectory
        macAgeing = settings.macAgeing!
        macLimit = settings.macLimit!
        cpus = settings.cpus!
        busyPollNanoseconds = settings.busyPollNanoseconds!
        ports = []
    }
}

/// In which order frames leave an egress queue.
public enum QueueOrder: String, CaseIterable, Sendable {
    /// Ports and flows in turns, each held to a short delay.
    case fair
    /// As they came.
    case fifo
}

/// What becomes of frames that came in by a port and find their egress port congested.
public enum CongestionResponse: String, CaseIterable, Sendable {
    /// They wait in its queue, and are dropped where that has no room or they grow too old.
    case drop
    /// So they do, but while they wait the port's own peer has to wait as well.
    case pause
}

/// One port as configured: what every port has, and what its kind adds.
public struct PortConfiguration: Equatable, Sendable {
    /// Unique name of the port.
    public var name: String
    /// How the port is attached, with the keys of that kind.
    public var kind: Kind
    /// Work on frames that the peer leaves to others: `none` or `vnet` on a `tap` port, `none` on a
    /// `vpnkit` port, `none` or `raw` on others.
    public var offload: Offload
    /// Longest frame in bytes that enters or leaves the port: payload + 14, + 4 with a VLAN tag.
    ///
    /// The tag counts, the FCS does not: 1518 lets a payload of 1500 bytes pass, tagged or not.
    /// With `vnet` a frame that is still to be cut up counts as its segments.
    public var maxFrame: Int
    /// In which order frames leave the port's egress queue.
    public var queue: QueueOrder
    /// Nanoseconds that a flow of a fair queue may wait for long.
    public var queueTargetNanoseconds: Int
    /// Bytes of frames that the port's egress queue holds; 0 for no queue.
    public var queueBytes: Int
    /// Nanoseconds after which a queued frame is dropped.
    public var queueDelayNanoseconds: Int
    /// Frames a second that the port may have flooded, of either kind; 0: any number.
    public var floodRate: Int

    /// The ways to attach a port.
    public enum Kind: Equatable, Sendable {
        /// An AF_UNIX datagram socket that one virtual machine connects to.
        case unixgram(Unixgram)
        /// A socket that has connections.
        case stream(Stream)
        /// A TAP device of the host or of a network namespace.
        case tap(TAP)
        /// A descriptor of either sort that another process opened.
        case passed(Passed)
    }

    /// What only a `unixgram` port has.
    public struct Unixgram: Equatable, Sendable {
        /// Absolute path of the socket, at most `Configuration.socketPathLimit` bytes.
        public var path: String
        /// Whether other ports have the same path, each for a peer of its own.
        public var isShared: Bool = false
        /// Absolute path of the socket that the port connects to; `nil`: it waits for a peer.
        public var connect: String?
        /// Whether a port that connects greets its peer with "VFKT".
        public var vfkitMagic = true
        /// Permission bits of the socket file.
        public var mode: UInt32
        /// User that the socket file is given to; `nil` leaves it with the user of the switch.
        public var owner: UInt32?
        /// Group that the socket file is given to; `nil` leaves it with the group of the switch.
        public var group: UInt32?
        /// Users that may attach; empty when file permissions alone decide.
        public var allowUIDs: [UInt32]
        /// Effective send buffer to ask for, in bytes as the kernel charges them.
        ///
        /// SO_SNDBUF doubles what it is given (socket(7)), so half of this is what to set.
        public var sendBuffer: Int
        /// What becomes of the peer's frames at a congested port.
        public var onCongestion: CongestionResponse
    }

    /// What a `stream`, `seqpacket` or `vpnkit` port has.
    public struct Stream: Equatable, Sendable {
        /// Which of the three it is.
        public var transport: PortType
        /// Absolute path of the socket that the port listens on, or connects to.
        public var path: String
        /// Whether the port connects to its peer, instead of the peer to the port.
        public var connects: Bool
        /// Whether other ports have the same path, each for a client of its own.
        public var isShared: Bool
        /// Permission bits of the socket file, of a port that listens.
        public var mode: UInt32
        /// User that the socket file is given to; `nil` leaves it with the user of the switch.
        public var owner: UInt32?
        /// Group that the socket file is given to; `nil` leaves it with the group of the switch.
        public var group: UInt32?
        /// Users that may attach; empty when file permissions alone decide.
        public var allowUIDs: [UInt32]
        /// Effective send buffer to ask for, in bytes as the kernel charges them.
        public var sendBuffer: Int
        /// What becomes of the peer's frames at a congested port.
        public var onCongestion: CongestionResponse

        /// Who may connect to the port's socket.
        var access: SocketAccess { SocketAccess(mode: mode, owner: owner, group: group) }
    }

    /// What only a `tap` port has.
    public struct TAP: Equatable, Sendable {
        /// Name of the device, at most 15 bytes.
        public var device: String
        /// Named network namespace that the device is made in; `nil` for that of the switch.
        public var netns: String?
        /// Addresses that the device is given.
        public var addresses: [InterfaceAddress]
        /// MTU of the device in bytes of payload.
        public var mtu: Int
        /// Whether the device stays when the switch ends.
        public var persist: Bool
        /// Frames that the device's own queue holds.
        public var txQueueLength: Int
    }

    /// What only a port has whose descriptor the switch does not open itself.
    public struct Passed: Equatable, Sendable {
        /// What the descriptor has to be.
        public var type: PortType
        /// Where it comes from.
        public var source: PortSource
        /// Number of an inherited descriptor; `nil` for the one with the name of the port.
        public var number: Int?
        /// Longest payload of a TAP device; `nil` for a socket.
        public var mtu: Int?
        /// Effective send buffer of a socket; `nil` for a device.
        public var sendBuffer: Int?
        /// What becomes of the peer's frames at a congested port.
        public var onCongestion: CongestionResponse
    }

    /// The word that names the kind in the file.
    public var type: PortType {
        switch kind {
        case .unixgram: .unixgram
        case .stream(let stream): stream.transport
        case .tap: .tap
        case .passed(let passed): passed.type
        }
    }
}

/// Where the descriptor of a port comes from that the switch does not open itself.
public enum PortSource: String, CaseIterable, Sendable {
    /// A process passes it through `handover.sock`.
    case handover
    /// The process that started the switch left it open; later ones come through `handover.sock`.
    case inherit
}

/// What `type = "..."` may say.
public enum PortType: String, CaseIterable, Sendable {
    /// An AF_UNIX datagram socket.
    case unixgram
    /// An AF_UNIX stream socket with frames behind their length, 32 bits big-endian.
    case stream
    /// An AF_UNIX socket of packets.
    case seqpacket
    /// A stream that begins with vpnkit's handshake, lengths of 16 bits little-endian.
    case vpnkit
    /// A TAP device.
    case tap

    /// Whether a port of the type has a socket that has connections.
    var hasConnections: Bool { self == .stream || self == .seqpacket || self == .vpnkit }

    /// What a port of the type may leave to others, its default first.
    var offloads: [Offload] {
        switch self {
        case .unixgram, .stream, .seqpacket: [.none, .raw]
        case .vpnkit: [.none]
        case .tap: [.vnet, .none]
        }
    }
}
