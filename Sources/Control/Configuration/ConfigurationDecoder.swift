/// Reads a configuration from text, and finds everything that is wrong with it in one go.
///
/// A value that cannot be read is reported and left out; what depends on it is then not checked, so
/// that one mistake makes one line. Tables are read here; `PortResolver` makes ports of them.
struct ConfigurationDecoder {
    /// The keys of one table: what they say, where each stands, which could not be read.
    struct Table<Settings> {
        var settings: Settings
        var given: [String: TOMLNode] = [:]
        var invalid: Set<String> = []
    }

    private static let tables = ["switch", "port_defaults", "port"]

    private static func header(_ table: String) -> String {
        table == "port" ? "[[port]]" : "[\(table)]"
    }

    private let file: String
    private let environment: ConfigurationEnvironment
    private var errors: [ConfigurationError] = []

    /// Reads `text`; `file` names it in errors.
    static func decode(
        _ text: String, file: String, environment: ConfigurationEnvironment
    ) throws(ConfigurationErrors) -> Configuration {
        try decode(TOMLNode.parse(text, file: file), file: file, environment: environment)
    }

    /// Reads a document that has been parsed, or was never text.
    static func decode(
        _ root: TOMLNode, file: String, environment: ConfigurationEnvironment
    ) throws(ConfigurationErrors) -> Configuration {
        var decoder = ConfigurationDecoder(file: file, environment: environment)
        let configuration = decoder.configuration(root)
        if !decoder.errors.isEmpty { throw ConfigurationErrors(decoder.errors) }
        return configuration
    }

    private init(file: String, environment: ConfigurationEnvironment) {
        self.file = file
        self.environment = environment
    }

    private mutating func report(_ problem: ConfigurationProblem, portName: String? = nil) {
        errors.append(problem.error(file: file, portName: portName))
    }

    // MARK: Tables

    private mutating func configuration(_ root: TOMLNode) -> Configuration {
        var members: [String: TOMLNode] = [:]
        if case .table(let table) = root.value { members = table }
        var meantPorts = members["port"] != nil
        for (key, node) in members where !Self.tables.contains(key) {
            let nearest = Spelling.nearest(to: key, among: Self.tables)
            meantPorts = meantPorts || nearest == "port"
            report(
                unknown(
                    at: node, key, nearest: nearest.map(Self.header),
                    known: Self.tables.map(Self.header)))
        }
        var configuration = Configuration(
            switchSettings(members["switch"]), environment: environment)
        let defaults = portDefaults(members["port_defaults"])
        let tables = portTables(members["port"])
        if tables?.isEmpty ?? !meantPorts {
            report(
                ConfigurationProblem(
                    path: TOMLPath().key("port"), line: nil, "there is no port",
                    allowed: "at least one [[port]] table"))
        }
        var resolver = PortResolver(
            file: file, runtimeDirectory: configuration.runtimeDirectory, defaults: defaults)
        for node in tables ?? [] {
            let table = port(node, defaults: defaults)
            resolver.resolve(table, at: node)
        }
        configuration.ports = resolver.ports
        errors += resolver.errors
        return configuration
    }

    private mutating func switchSettings(_ node: TOMLNode?) -> SwitchSettings {
        var table = Table(settings: SwitchSettings())
        guard let node, let members = members(of: node, as: "[switch]") else {
            return table.settings
        }
        let keys = ConfigurationSchema.switchKeys
        let strangers = read(members, keys: keys, into: &table, portName: nil)
        for (key, node) in strangers {
            report(unknown(at: node, key, among: keys.map(\.name)))
        }
        let workers = table.settings.workers ?? 1
        if let cpus = table.settings.cpus, !cpus.isEmpty, cpus.count != workers,
            !table.invalid.contains("workers"), let node = table.given["cpus"]
        {
            let count = cpus.count == 1 ? "1 worker" : "\(cpus.count) workers"
            report(
                ConfigurationProblem(
                    node, "pins \(count), but workers is \(workers)",
                    allowed: "one CPU for each worker, or none"))
        }
        return table.settings
    }

    private mutating func portDefaults(_ node: TOMLNode?) -> Table<PortSettings> {
        var table = Table(settings: PortSettings())
        guard let node, let members = members(of: node, as: "[port_defaults]") else { return table }
        let keys = ConfigurationSchema.portKeys.filter(\.mayBeDefault)
        for (key, node) in read(members, keys: keys, into: &table, portName: nil) {
            if ConfigurationSchema.portKey(key) != nil {
                report(
                    ConfigurationProblem(
                        node, "cannot have a default: it differs from port to port",
                        allowed: "in [[port]]"))
            } else {
                report(unknown(at: node, key, among: keys.map(\.name)))
            }
        }
        return table
    }

    /// The `[[port]]` tables, `nil` where there is no such list.
    private mutating func portTables(_ node: TOMLNode?) -> [TOMLNode]? {
        guard let node else { return nil }
        guard case .array(let tables) = node.value else {
            let isTable = if case .table = node.value { true } else { false }
            report(
                ConfigurationProblem(
                    node, "must be a list of tables, not \(node.found)",
                    allowed: "[[port]], once for each port",
                    suggestion: isTable ? "[[port]]" : nil))
            return nil
        }
        return tables
    }

    /// Reads one `[[port]]` on top of the defaults.
    private mutating func port(
        _ node: TOMLNode, defaults: Table<PortSettings>
    ) -> Table<PortSettings>? {
        guard let members = members(of: node, as: "[[port]]") else { return nil }
        var table = Table(settings: defaults.settings)
        var portName: String?
        if case .string(let name)? = members["name"]?.value { portName = name }
        let keys = ConfigurationSchema.portKeys
        let strangers = read(members, keys: keys, into: &table, portName: portName)
        let type = table.invalid.contains("type") ? nil : table.settings.type
        for (key, node) in strangers {
            let fitting = keys.filter { type.map($0.portTypes.contains) ?? true }
            report(unknown(at: node, key, among: fitting.map(\.name)), portName: portName)
        }
        return table
    }

    // MARK: Keys

    private mutating func members(of node: TOMLNode, as header: String) -> [String: TOMLNode]? {
        if case .table(let members) = node.value { return members }
        report(ConfigurationProblem(node, "must be a table, not \(node.found)", allowed: header))
        return nil
    }

    /// Reads the members that `keys` knows and returns the others, in the order of their names.
    private mutating func read<Settings>(
        _ members: [String: TOMLNode], keys: [ConfigurationKey<Settings>],
        into table: inout Table<Settings>, portName: String?
    ) -> [(key: String, value: TOMLNode)] {
        table.given = members
        for key in keys {
            guard let node = members[key.name] else { continue }
            var problems: [ConfigurationProblem] = []
            key.decode(node, &table.settings, &problems)
            if !problems.isEmpty { table.invalid.insert(key.name) }
            for problem in problems { report(problem, portName: portName) }
        }
        let known = Set(keys.map(\.name))
        return members.filter { !known.contains($0.key) }.sorted { $0.key < $1.key }
    }

    private func unknown(
        at node: TOMLNode, _ key: String, among known: [String]
    ) -> ConfigurationProblem {
        unknown(at: node, key, nearest: Spelling.nearest(to: key, among: known), known: known)
    }

    /// A key that its table does not have: meant is the nearest one, else it may be at home in
    /// another table.
    private func unknown(
        at node: TOMLNode, _ key: String, nearest: String?, known: [String]
    ) -> ConfigurationProblem {
        let isNested = node.path.components.count > 1
        var homes: [String] = []
        if !isNested || node.path.components.first != .key("switch"),
            ConfigurationSchema.switchKeys.contains(where: { $0.name == key })
        {
            homes.append("[switch]")
        }
        if !isNested || node.path.components.first == .key("switch"),
            ConfigurationSchema.portKey(key) != nil
        {
            homes.append("[[port]]")
        }
        if !homes.isEmpty {
            return ConfigurationProblem(
                node, "unknown key here", allowed: "in \(homes.joined(separator: " or "))")
        }
        let allowed = nearest == nil ? known.joined(separator: ", ") : nil
        return ConfigurationProblem(node, "unknown key", allowed: allowed, suggestion: nearest)
    }
}
