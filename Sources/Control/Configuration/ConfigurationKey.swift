internal import SwitchCore

/// One key of a configuration: how it is read and written, and what people are told of it.
///
/// `Settings` holds the keys of one table, each optional: what a file gives, before defaults.
struct ConfigurationKey<Settings: Sendable>: Sendable {
    /// What holds when the file does not give the key.
    enum Default<Value: Sendable>: Sendable {
        /// The file must give the key.
        case required
        /// This value.
        case value(Value)
        /// What the text says; the code that knows the other keys sees to it.
        case described(String)
    }

    /// When a changed value takes effect.
    enum Effect: Sendable {
        /// At a reload; the port that has the key is closed and opened again.
        case reload
        /// At a reload; the port stays open, and its peer attached.
        case live
        /// At the next start of the switch.
        case restart
    }

    let name: String
    /// Types of port that the key belongs to; every type for keys of `[switch]`.
    let portTypes: PortTypes
    /// Why no port of another type has the key, where that is not plain.
    let reason: String?
    /// Whether a port with a `source` has no use for the key: it says how to open what is passed.
    let isForOpening: Bool
    /// Whether `[port_defaults]` may have the key.
    let mayBeDefault: Bool
    let effect: Effect
    let isRequired: Bool
    let type: String
    let allowed: String
    /// The default for people, in TOML where it is a value.
    let defaultText: String
    let meaning: String

    /// Reads the value into the settings; adds what is wrong to the list.
    let decode: @Sendable (TOMLNode, inout Settings, inout [ConfigurationProblem]) -> Void
    /// Puts the default where the settings have no value.
    let fillDefault: @Sendable (inout Settings) -> Void
    /// Takes the value out of the settings.
    let clear: @Sendable (inout Settings) -> Void
    /// The value as it stands in a file, where the settings have one.
    let literal: @Sendable (Settings) -> String?

    init<Value>(
        _ name: String, _ property: any WritableKeyPath<Settings, Value?> & Sendable,
        _ codec: ValueCodec<Value>, default defaultValue: Default<Value>,
        only portTypes: PortTypes = .all, because reason: String? = nil,
        isForOpening: Bool = false, mayBeDefault: Bool = true,
        effect: Effect = .reload, _ meaning: String
    ) {
        self.name = name
        self.portTypes = portTypes
        self.reason = reason
        self.isForOpening = isForOpening
        self.mayBeDefault = mayBeDefault
        self.effect = effect
        self.meaning = meaning
        type = codec.type
        allowed = codec.allowed
        switch defaultValue {
        case .required:
            isRequired = true
            defaultText = "required"
            fillDefault = { _ in }
        case .described(let text):
            isRequired = false
            defaultText = text
            fillDefault = { _ in }
        case .value(let value):
            isRequired = false
            defaultText = "`\(codec.encode(value))`"
            fillDefault = { settings in
                if settings[keyPath: property] == nil { settings[keyPath: property] = value }
            }
        }
        decode = { node, settings, problems in
            if let value = codec.decode(node, &problems) { settings[keyPath: property] = value }
        }
        clear = { settings in settings[keyPath: property] = nil }
        literal = { settings in settings[keyPath: property].map(codec.encode) }
    }
}

/// Some types of port.
struct PortTypes: OptionSet, Sendable {
    let rawValue: UInt8

    static let unixgram = PortTypes(.unixgram)
    static let stream = PortTypes(.stream)
    static let seqpacket = PortTypes(.seqpacket)
    static let vpnkit = PortTypes(.vpnkit)
    static let tap = PortTypes(.tap)
    static let connected: PortTypes = [.stream, .seqpacket, .vpnkit]
    static let sockets: PortTypes = [.unixgram, .connected]
    static let all: PortTypes = [.sockets, .tap]

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ type: PortType) {
        rawValue = 1 << UInt8(PortType.allCases.firstIndex(of: type) ?? 0)
    }

    func contains(_ type: PortType) -> Bool { contains(PortTypes(type)) }

    /// The types for people: "unixgram", "stream and seqpacket", "socket".
    var words: String {
        guard self != .sockets else { return "socket" }
        let words = PortType.allCases.filter(contains).map(\.rawValue)
        guard let last = words.last, words.count > 1 else { return words.first ?? "" }
        return words.dropLast().joined(separator: ", ") + " and " + last
    }
}

/// The keys of `[switch]` as a file gives them.
struct SwitchSettings: Equatable, Sendable {
    var name: String?
    var workers: Int?
    var runtimeDirectory: String?
    var macAgeing: Int?
    var macLimit: Int?
    var cpus: [Int]?
    var busyPollNanoseconds: Int?
}

/// The keys of a `[[port]]` or of `[port_defaults]` as a file gives them.
struct PortSettings: Sendable {
    var name: String?
    var count: Int?
    var type: PortType?
    var source: PortSource?
    var number: Int?
    var offload: Offload?
    var maxFrame: Int?
    var queue: QueueOrder?
    var queueBytes: Int?
    var queueTargetNanoseconds: Int?
    var queueDelayNanoseconds: Int?
    var floodRate: Int?
    var path: String?
    var connect: String?
    var isShared: Bool?
    var vfkitMagic: Bool?
    var mode: UInt32?
    var owner: UInt32?
    var group: UInt32?
    var allowUIDs: [UInt32]?
    var sendBuffer: Int?
    var onCongestion: CongestionResponse?
    var device: String?
    var netns: String?
    var addresses: [InterfaceAddress]?
    var mtu: Int?
    var persist: Bool?
    var txQueueLength: Int?
}
