// From a configuration back to text: TOML that `check` prints, and the reference of all keys. Both
// follow from `ConfigurationSchema`.

extension Configuration: CustomStringConvertible {
    /// The configuration as TOML with every key and no `count`; reading it gives an equal value.
    public var toml: String {
        var text = "[switch]\n" + Self.lines(ConfigurationSchema.switchKeys, SwitchSettings(self))
        for port in ports {
            text += "\n[[port]]\n"
            text += Self.lines(ConfigurationSchema.portKeys, PortSettings(port))
        }
        return text
    }

    /// The configuration as TOML.
    public var description: String { toml }

    private static func lines<Settings>(
        _ keys: [ConfigurationKey<Settings>], _ settings: Settings
    ) -> String {
        let pairs = keys.compactMap { key in key.literal(settings).map { (key.name, $0) } }
        return pairs.map { "\($0) = \($1)\n" }.joined()
    }

    /// The keys of the configuration as Markdown tables, for the README.
    public static var reference: String {
        let ports = ConfigurationSchema.portKeys
        return [
            "### `[switch]`", table(ConfigurationSchema.switchKeys),
            "### `[[port]]`, every type",
            "`[port_defaults]` takes any of the port keys but "
                + ports.filter { !$0.mayBeDefault }.map { "`\($0.name)`" }.joined(separator: ", ")
                + "; keys of one type apply to ports of that type only.",
            table(ports.filter { $0.portTypes == .all }),
            "### `[[port]]` with a socket: `unixgram`, `stream`, `seqpacket`, `vpnkit`",
            table(ports.filter { !$0.portTypes.contains(.tap) }),
            "### `[[port]]` with `type = \"tap\"`",
            table(ports.filter { $0.portTypes == .tap }),
        ].joined(separator: "\n\n") + "\n"
    }

    private static func table<Settings>(_ keys: [ConfigurationKey<Settings>]) -> String {
        let rows = keys.map { key in
            let effect =
                switch key.effect {
                case .reload: ""
                case .live: " Changes live."
                case .restart: " A change needs a restart."
                }
            let cells = [
                "`\(key.name)`", key.type, key.defaultText, key.allowed, key.meaning + effect,
            ]
            let escaped = cells.map { cell in
                cell.replacing("|", with: "\\|")
            }
            return "| " + escaped.joined(separator: " | ") + " |"
        }
        let head = ["| Key | Type | Default | Allowed | Meaning |", "|---|---|---|---|---|"]
        return (head + rows).joined(separator: "\n")
    }
}

extension SwitchSettings {
    /// The settings that give `configuration`.
    init(_ configuration: Configuration) {
        name = configuration.name
        workers = configuration.workers
        runtimeDirectory = configuration.runtimeDirectory
        macAgeing = configuration.macAgeing
        macLimit = configuration.macLimit
        cpus = configuration.cpus
        busyPollNanoseconds = configuration.busyPollNanoseconds
    }
}

extension PortSettings {
    /// The settings that give `port`.
    init(_ port: PortConfiguration) {
        name = port.name
        type = port.type
        offload = port.offload
        maxFrame = port.maxFrame
        queue = port.queue
        queueBytes = port.queueBytes
        queueTargetNanoseconds = port.queueTargetNanoseconds
        queueDelayNanoseconds = port.queueDelayNanoseconds
        floodRate = port.floodRate
        switch port.kind {
        case .unixgram(let socket):
            path = socket.path
            connect = socket.connect
            vfkitMagic = socket.connect == nil ? nil : socket.vfkitMagic
            isShared = socket.isShared
            mode = socket.mode
            owner = socket.owner
            group = socket.group
            allowUIDs = socket.allowUIDs
            sendBuffer = socket.sendBuffer
            onCongestion = socket.onCongestion
        case .stream(let stream):
            allowUIDs = stream.allowUIDs
            sendBuffer = stream.sendBuffer
            onCongestion = stream.onCongestion
            guard !stream.connects else {
                connect = stream.path
                return
            }
            path = stream.path
            isShared = stream.isShared
            mode = stream.mode
            owner = stream.owner
            group = stream.group
        case .tap(let tap):
            device = tap.device
            netns = tap.netns
            addresses = tap.addresses
            mtu = tap.mtu
            persist = tap.persist
            txQueueLength = tap.txQueueLength
        case .passed(let passed):
            source = passed.source
            number = passed.number
            mtu = passed.mtu
            sendBuffer = passed.sendBuffer
            onCongestion = passed.type == .tap ? nil : passed.onCongestion
        }
    }
}

extension PortConfiguration {
    /// The port of `settings` in which nothing is missing: checked, defaults filled in, one port.
    init(resolved settings: PortSettings) {
        name = settings.name!
        offload = settings.offload!
        maxFrame = settings.maxFrame!
        queue = settings.queue!
        queueBytes = settings.queueBytes!
        queueTargetNanoseconds = settings.queueTargetNanoseconds!
        queueDelayNanoseconds = settings.queueDelayNanoseconds!
        floodRate = settings.floodRate!
        if let source = settings.source {
            let isTAP = settings.type == .tap
            kind = .passed(
                Passed(
                    type: settings.type!, source: source, number: settings.number,
                    mtu: isTAP ? settings.mtu : nil, sendBuffer: isTAP ? nil : settings.sendBuffer,
                    onCongestion: isTAP ? .drop : settings.onCongestion!))
            return
        }
        switch settings.type! {
        case .unixgram:
            kind = .unixgram(
                Unixgram(
                    path: settings.path!, isShared: settings.isShared!, connect: settings.connect,
                    vfkitMagic: settings.vfkitMagic ?? true, mode: settings.mode!,
                    owner: settings.owner,
                    group: settings.group, allowUIDs: settings.allowUIDs!,
                    sendBuffer: settings.sendBuffer!, onCongestion: settings.onCongestion!))
        case .stream, .seqpacket, .vpnkit:
            kind = .stream(
                Stream(
                    transport: settings.type!, path: (settings.connect ?? settings.path)!,
                    connects: settings.connect != nil, isShared: settings.isShared!,
                    mode: settings.mode!, owner: settings.owner, group: settings.group,
                    allowUIDs: settings.allowUIDs!, sendBuffer: settings.sendBuffer!,
                    onCongestion: settings.onCongestion!))
        case .tap:
            kind = .tap(
                TAP(
                    device: settings.device!, netns: settings.netns,
                    addresses: settings.addresses!, mtu: settings.mtu!,
                    persist: settings.persist!, txQueueLength: settings.txQueueLength!))
        }
    }
}
