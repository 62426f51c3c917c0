internal import SwitchCore

/// Makes ports of `[[port]]` tables: expands `count`, fills in what depends on other keys, and
/// checks what no single key can know.
///
/// Checks between keys look only at keys that could be read. An error that has its cause in
/// `[port_defaults]` names the key there, once for all ports.
struct PortResolver {
    /// Ports so far.
    private(set) var ports: [PortConfiguration] = []
    /// What was found wrong so far.
    private(set) var errors: [ConfigurationError] = []

    private let file: String
    private let runtimeDirectory: String
    private let defaults: ConfigurationDecoder.Table<PortSettings>
    /// Who has a name, path, device or address first.
    private var owners: [String: TOMLNode] = [:]
    /// Of paths that may be shared, what the first port is.
    private var shares: [String: PathShare] = [:]
    private var portCount = 0

    /// Bytes that a send buffer must hold beside one frame: the kernel charges a frame up to its
    /// next power of two and a header (4352 for 3776 bytes, 69888 for 65550), and takes the next
    /// frame only while there is room.
    static let sendBufferReserve = 8 << 10
    /// What a queued frame of a `vnet` port may take: the longest, not yet cut up, with its header.
    static let vnetFrameMax = Offload.superframeLengthMax + VirtioNetHeader.length
    /// What a length of 16 bits can say.
    static let vpnkitFrameMax = 65_535
    /// Least MTU of a link that carries IPv6 (RFC 8200, section 5).
    static let ipv6LeastMTU = 1280

    init(
        file: String, runtimeDirectory: String,
        defaults: ConfigurationDecoder.Table<PortSettings>
    ) {
        self.file = file
        self.runtimeDirectory = runtimeDirectory
        self.defaults = defaults
    }

    /// Adds the port or ports of the table at `node`; `nil` where that is no table.
    mutating func resolve(
        _ table: ConfigurationDecoder.Table<PortSettings>?, at node: TOMLNode
    ) {
        guard let table else { return }
        var port = PortTable(node: node, own: table, defaults: defaults)
        port.own.settings.fillDefaults()
        checkRequired(port)
        checkKind(port)
        checkConnect(port)
        checkSource(port)
        checkOffload(port)
        checkSizes(port)
        if checkTemplates(port) { expand(port) }
    }

    private mutating func report(_ problem: ConfigurationProblem, _ port: PortTable) {
        let isOfPort = problem.path.components.starts(with: port.node.path.components)
        errors.append(problem.error(file: file, portName: isOfPort ? port.name : nil))
    }

    // MARK: Checks of one table

    private mutating func checkRequired(_ port: PortTable) {
        for key in ConfigurationSchema.portKeys where key.isRequired {
            let isWanted = port.type.map(key.portTypes.contains) ?? (key.portTypes == .all)
            guard isWanted, !(key.isForOpening && port.isPassed), !port.has(key.name),
                !port.isInvalid(key.name)
            else { continue }
            report(
                ConfigurationProblem(
                    path: port.node.path.key(key.name), line: port.node.line, "is missing",
                    allowed: key.allowed), port)
        }
    }

    private mutating func checkKind(_ port: PortTable) {
        guard let type = port.type else { return }
        for (name, node) in port.own.given.sorted(by: { $0.key < $1.key }) {
            guard let key = ConfigurationSchema.portKey(name), !key.portTypes.contains(type)
            else { continue }
            let kinds = key.portTypes.words
            let reason = key.reason.map { ": \($0)" } ?? ""
            report(
                ConfigurationProblem(
                    node,
                    "is a key of \(kinds) ports, not of \(type.rawValue) ports\(reason)"),
                port)
        }
    }

    /// A port that connects has no socket of its own that others could find, unless it is one of
    /// datagrams, which are answered there.
    private mutating func checkConnect(_ port: PortTable) {
        guard let type = port.type,
            ConfigurationSchema.portKey("connect")?.portTypes.contains(type) == true
        else { return }
        guard port.has("connect") else {
            guard let node = port.own.given["vfkit_magic"], type == .unixgram else { return }
            report(
                ConfigurationProblem(node, "is for a port that connects", allowed: "with connect"),
                port)
            return
        }
        let names = type == .unixgram ? ["shared"] : ["path", "mode", "owner", "group", "shared"]
        for name in names {
            guard let node = port.own.given[name] else { continue }
            report(
                ConfigurationProblem(
                    node, "is for ports that listen, and connect makes this one connect"),
                port)
        }
    }

    private mutating func checkSource(_ port: PortTable) {
        let settings = port.own.settings
        if settings.number != nil, settings.source != .inherit, !port.isInvalid("source") {
            report(
                port.place(of: "fd").problem(
                    "says which descriptor is inherited, and the port inherits none",
                    allowed: "fd together with source = \"inherit\""), port)
        }
        guard let source = settings.source, port.isPassed else { return }
        if let type = port.type, DescriptorKind.of(type) == nil {
            let types = DescriptorKind.all.map(\.type.rawValue)
            report(
                port.place(of: "source").problem(
                    "is not for \(type.rawValue) ports: they begin with a handshake",
                    allowed: "source on ports of type " + TOMLText.alternatives(types)), port)
        }
        for (name, node) in port.own.given.sorted(by: { $0.key < $1.key }) {
            guard ConfigurationSchema.portKey(name)?.isForOpening == true else { continue }
            let word = TOMLText.quoted(source.rawValue)
            report(
                ConfigurationProblem(
                    node,
                    "says how to open what a port with source = \(word) is given open"), port)
        }
    }

    private mutating func checkOffload(_ port: PortTable) {
        guard let type = port.type, let offload = port.own.settings.offload,
            !type.offloads.contains(offload), !port.isInvalid("offload")
        else { return }
        report(
            port.place(of: "offload").problem(
                "\(TOMLText.quoted(offload.word)) is not for \(type.rawValue) ports",
                allowed: TOMLText.alternatives(type.offloads.map(\.word)) + " there"), port)
    }

    private mutating func checkQueue(_ port: PortTable, maxFrame: Int) {
        guard let bytes = port.own.settings.queueBytes, bytes > 0, !port.isInvalid("queue_bytes")
        else { return }
        let isVnet = port.type == .tap && port.own.settings.offload == .vnet
        let least = 2 * (isVnet ? max(maxFrame, Self.vnetFrameMax) : maxFrame)
        guard bytes < least else { return }
        if isVnet {
            report(
                port.place(of: "queue_bytes", "offload").problem(
                    "queue_bytes \(bytes) does not hold two frames that are not yet cut up",
                    allowed: "0 or at least \(least) with offload \"vnet\""), port)
        } else {
            report(
                port.place(of: "queue_bytes", "max_frame").problem(
                    "queue_bytes \(bytes) does not hold two frames of max_frame \(maxFrame)",
                    allowed: "0 or at least \(least)"), port)
        }
    }

    private mutating func checkSizes(_ port: PortTable) {
        let settings = port.own.settings
        guard let maxFrame = settings.maxFrame, !port.isInvalid("max_frame") else { return }
        checkQueue(port, maxFrame: maxFrame)
        if port.type == .vpnkit, maxFrame > Self.vpnkitFrameMax {
            report(
                port.place(of: "max_frame").problem(
                    "max_frame \(maxFrame) does not fit a length of 16 bits",
                    allowed: "at most \(Self.vpnkitFrameMax) on a vpnkit port"), port)
        }
        if port.type != .tap, let bytes = settings.sendBuffer,
            bytes < maxFrame + Self.sendBufferReserve, !port.isInvalid("send_buffer")
        {
            let place = port.place(of: "send_buffer", "max_frame")
            report(
                place.problem(
                    "send_buffer \(bytes) is too small for max_frame \(maxFrame)",
                    allowed: "at least max_frame + 8KiB = \(maxFrame + Self.sendBufferReserve)"),
                port)
        }
        guard port.type == .tap, let mtu = settings.mtu, !port.isInvalid("mtu") else { return }
        if maxFrame < mtu + FrameHeader.lengthMin {
            let place = port.place(of: "max_frame", "mtu")
            report(
                place.problem(
                    "max_frame \(maxFrame) is too small for mtu \(mtu)",
                    allowed: "at least mtu + 14 = \(mtu + FrameHeader.lengthMin)"), port)
        }
        if mtu < Self.ipv6LeastMTU, let address = settings.addresses?.first(where: \.isIPv6) {
            let place = port.place(of: "mtu", "address")
            report(
                place.problem(
                    "mtu \(mtu) is too small for the IPv6 address \(address)",
                    allowed: "at least \(Self.ipv6LeastMTU)"), port)
        }
    }

    /// Checks that `{n}` and `count` go together; false where the table cannot be expanded.
    private mutating func checkTemplates(_ port: PortTable) -> Bool {
        let hasCount = port.has("count") || port.isInvalid("count")
        for (key, text) in port.templates {
            let hasNumber = text.contains("{n}")
            if key == "path", hasCount, !hasNumber, port.own.settings.isShared == true { continue }
            guard hasNumber != hasCount, hasNumber || key != "netns" else { continue }
            let quoted = TOMLText.quoted(text, limit: 60)
            if hasNumber {
                report(
                    port.place(of: key).problem(
                        "\(quoted) has {n}, but the port has no count",
                        allowed: "{n} together with count"), port)
            } else {
                let numbered = ["name": text + "-{n}", "device": text + "{n}"][key]
                let suggestion = text.isEmpty ? nil : numbered.map { TOMLText.quoted($0) }
                report(
                    port.place(of: key).problem(
                        "\(quoted) has no {n}, which count needs to number the ports",
                        allowed: key == "path" && port.type != .tap
                            ? "{n}, or shared = true" : nil,
                        suggestion: suggestion), port)
            }
            return false
        }
        return !port.isInvalid("count") && port.has("name") && port.type != nil
            && (port.type != .tap || port.has("device") || port.isPassed)
    }

    // MARK: Expansion

    private mutating func expand(_ port: PortTable) {
        let count = port.own.settings.count ?? 1
        let before = portCount
        portCount += count
        if portCount > Configuration.portLimit {
            if before <= Configuration.portLimit {
                report(
                    ConfigurationProblem(
                        path: port.node.path, line: port.node.line,
                        "makes \(portCount) ports in all",
                        allowed: "at most \(Configuration.portLimit)"), port)
            }
            return
        }
        for number in 1...count {
            guard let configuration = numbered(number, port) else { return }
            guard claim(configuration, port) else { return }
            ports.append(configuration)
        }
    }

    /// Port `number` of the table; `nil`, and an error, where a text is not what it must be.
    private mutating func numbered(_ number: Int, _ port: PortTable) -> PortConfiguration? {
        var settings = port.own.settings
        settings.count = nil
        settings.name = settings.name?.replacing("{n}", with: "\(number)")
        settings.device = settings.device?.replacing("{n}", with: "\(number)")
        settings.netns = settings.netns?.replacing("{n}", with: "\(number)")
        settings.path = settings.path?.replacing("{n}", with: "\(number)")
        settings.connect = settings.connect?.replacing("{n}", with: "\(number)")
        let isTAP = port.type == .tap
        var isRight = check(settings.name, .name, "name", port)
        if port.isPassed { return isRight ? PortConfiguration(resolved: settings) : nil }
        if isTAP {
            isRight = check(settings.device, .device, "device", port) && isRight
            isRight = check(settings.netns, .netns, "netns", port) && isRight
        } else {
            isRight = check(settings.path, .path, "path", port) && isRight
            isRight = check(settings.connect, .path, "connect", port) && isRight
        }
        guard isRight else { return nil }
        if !isTAP {
            let path = absolute(settings.path ?? (settings.name ?? "") + ".sock")
            settings.path = path
            settings.connect = settings.connect.map(absolute)
            if let connect = settings.connect, !checkSocketPath(connect, "connect", port) {
                return nil
            }
            let hasPath = settings.connect == nil || port.type == .unixgram
            if hasPath, !checkSocketPath(path, "path", port) { return nil }
        }
        return PortConfiguration(resolved: settings)
    }

    private func absolute(_ path: String) -> String {
        TextRule.normalized(path.hasPrefix("/") ? path : "\(runtimeDirectory)/\(path)")
    }

    private mutating func check(
        _ text: String?, _ rule: TextRule, _ key: String, _ port: PortTable
    ) -> Bool {
        guard let text, let objection = rule.objection(to: text) else { return true }
        // A correction of a numbered name would lose its {n}.
        let isPlainName = key == "name" && port.own.settings.count == nil
        let suggestion = isPlainName ? rule.correction(of: text) : nil
        report(
            port.place(of: key).problem(
                objection, allowed: rule.allowed, suggestion: suggestion), port)
        return false
    }

    private mutating func checkSocketPath(
        _ path: String, _ key: String, _ port: PortTable
    ) -> Bool {
        let length = path.utf8.count
        let isShared = port.own.settings.isShared == true
        let limit =
            Configuration.socketPathLimit
            - (isShared ? UnixgramListener.successionSuffix.utf8.count : 0)
        if length > limit {
            report(
                port.place(of: key).problem(
                    "\(TOMLText.quoted(path)) is \(length) bytes long",
                    allowed: isShared
                        ? "at most \(limit) where it is shared"
                        : "at most \(limit), as for every Unix socket"),
                port)
            return false
        }
        let own = Configuration.reservedFileNames
        if own.contains(where: { path == "\(runtimeDirectory)/\($0)" }) {
            report(
                port.place(of: key).problem(
                    "\(TOMLText.quoted(path)) belongs to the switch itself",
                    allowed: "any file but \(own.joined(separator: ", ")) in runtime_dir"), port)
            return false
        }
        return true
    }

    // MARK: Uniqueness

    /// Takes what only one port can have; false, and an error, where another port has it already.
    private mutating func claim(_ configuration: PortConfiguration, _ port: PortTable) -> Bool {
        let name = TOMLText.quoted(configuration.name)
        guard claim("name", "name \(name)", port, "the name \(name)") else { return false }
        switch configuration.kind {
        case .unixgram(let socket):
            let path = TOMLText.quoted(socket.path)
            let share = PathShare(.unixgram, socket.access)
            return claim(
                "path", "path \(path)", port, "the path \(path)",
                sharing: socket.isShared ? share : nil)
        case .stream(let stream):
            let path = TOMLText.quoted(stream.path)
            let share = PathShare(stream.transport, stream.access)
            return stream.connects
                || claim(
                    "path", "path \(path)", port, "the path \(path)",
                    sharing: stream.isShared ? share : nil)
        case .tap(let tap):
            // A device and an address are unique in their namespace only.
            let netns = tap.netns.map { "netns \($0)" } ?? ""
            let device = TOMLText.quoted(tap.device)
            guard claim("device", "device \(device) \(netns)", port, "the device \(device)")
            else { return false }
            // An address that stands in the list twice has been reported with the list.
            return port.isInvalid("address")
                || tap.addresses.allSatisfy { address in
                    let host = "address \(address.bytes) \(netns)"
                    return claim("address", host, port, "the address \(address)")
                }
        case .passed(let passed):
            guard let number = passed.number else { return true }
            return claim("fd", "fd \(number)", port, "the descriptor \(number)")
        }
    }

    private mutating func claim(
        _ key: String, _ identity: String, _ port: PortTable, _ what: String,
        sharing share: PathShare? = nil
    ) -> Bool {
        guard let owner = owners[identity] else {
            owners[identity] = port.node
            shares[identity] = share
            return true
        }
        if let share, let first = shares[identity] {
            guard share != first else { return true }
            report(
                port.place(of: "path", "mode", "owner", "group").problem(
                    "\(what) is shared with \(owner.path), which has another type, mode, owner or "
                        + "group",
                    allowed: "the same for all ports that share a path"), port)
            return false
        }
        let line = owner.line.map { " (line \($0))" } ?? ""
        let isSame = owner.path == port.node.path
        let same =
            (port.own.settings.count ?? 1) > 1 ? "would be that of several ports" : "is given twice"
        report(
            port.place(of: key).problem(
                "\(what) \(isSame ? same : "is already that of \(owner.path)\(line)")"), port)
        return false
    }
}

extension PortSettings {
    /// Fills in what is missing and has a default, also where that depends on other keys.
    mutating func fillDefaults() {
        for key in ConfigurationSchema.portKeys { key.fillDefault(&self) }
        if offload == nil { offload = type?.offloads.first }
        if connect != nil, type == .unixgram, vfkitMagic == nil { vfkitMagic = true }
        if maxFrame == nil { maxFrame = defaultMaxFrame }
        if queueBytes == nil { queueBytes = defaultQueueBytes }
    }

    /// 1518, which is a payload of 1500 with header and tag; on a TAP device what its MTU needs;
    /// where the peer cuts nothing up, what it may send.
    private var defaultMaxFrame: Int {
        if type == .tap, let mtu { return mtu + FrameHeader.lengthMin + FrameHeader.tagLength }
        return offload == .raw ? Offload.superframeLengthMax : 1518
    }

    /// Some 250 of the longest frames, what a peer with offloading reads in 20 ms; ten times as
    /// many of the usual length.
    private var defaultQueueBytes: Int { offload == .raw ? 16 << 20 : 4 << 20 }
}

/// What all ports have in common that share a path, since it leads to one socket.
private struct PathShare: Equatable {
    let type: PortType
    let access: SocketAccess

    init(_ type: PortType, _ access: SocketAccess) {
        (self.type, self.access) = (type, access)
    }
}

/// A `[[port]]` table with the defaults under it.
private struct PortTable {
    let node: TOMLNode
    var own: ConfigurationDecoder.Table<PortSettings>
    let defaults: ConfigurationDecoder.Table<PortSettings>

    /// The name as the file has it.
    var name: String? { own.settings.name }
    /// The type, where it could be read.
    var type: PortType? { isInvalid("type") ? nil : own.settings.type }

    /// Whether somebody else opens what the port is attached to.
    var isPassed: Bool { own.settings.source != nil && !isInvalid("source") }

    /// The texts that may have `{n}` in them, of those keys that the type of the port has.
    var templates: [(key: String, text: String)] {
        let settings = own.settings
        var texts = [("name", settings.name)]
        if isPassed { return texts.compactMap { key, text in text.map { (key, $0) } } }
        switch type {
        case .unixgram, .stream, .seqpacket, .vpnkit:
            texts += [("path", settings.path), ("connect", settings.connect)]
        case .tap: texts += [("device", settings.device), ("netns", settings.netns)]
        case nil: break
        }
        return texts.compactMap { key, text in text.map { (key, $0) } }
    }

    /// Whether the key has a value, of its own or by default.
    func has(_ key: String) -> Bool {
        ConfigurationSchema.portKey(key)?.literal(own.settings) != nil
    }

    /// Whether the value that counts could not be read.
    func isInvalid(_ key: String) -> Bool {
        own.given[key] == nil ? defaults.invalid.contains(key) : own.invalid.contains(key)
    }

    /// Where an error between `keys` is to be mended: at the first that the port gives itself, else
    /// at the first that `[port_defaults]` gives, else at the first, on the line of the port.
    func place(of keys: String...) -> Place {
        for given in [own.given, defaults.given] {
            if let node = keys.lazy.compactMap({ given[$0] }).first {
                return Place(path: node.path, line: node.line)
            }
        }
        return Place(path: node.path.key(keys[0]), line: node.line)
    }
}

private struct Place {
    let path: TOMLPath
    let line: Int?

    func problem(
        _ message: String, allowed: String? = nil, suggestion: String? = nil
    ) -> ConfigurationProblem {
        ConfigurationProblem(
            path: path, line: line, message, allowed: allowed, suggestion: suggestion)
    }
}
