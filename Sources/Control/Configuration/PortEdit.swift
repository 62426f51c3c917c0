// Ports that come, change and go while the switch runs: words of a command line become the same
// tree of values that a file becomes, and take the same way from there. So they are checked alike,
// and what is wrong is told alike.

/// A change of one port, as `ringswitch port` sends it.
public struct PortEdit: Codable, Sendable, Equatable {
    /// Name of the port; with `count` among the keys it has `{n}` in it.
    public var name: String
    /// Keys and their values as one types them: no quotes, lists with commas. An empty value takes
    /// the key away, which brings its default back.
    public var keys: [String: String]

    /// A change of these keys.
    public init(name: String, keys: [String: String] = [:]) {
        self.name = name
        self.keys = keys
    }
}

extension Configuration {
    /// The configuration with a new port, or several if `count` says so.
    /// - Throws: everything that is wrong with the words.
    public func adding(
        _ edit: PortEdit, during command: String = "port add",
        environment: ConfigurationEnvironment = .current
    ) throws(ConfigurationErrors) -> Configuration {
        var nodes = ports.map(node)
        nodes.append(Self.node(edit.name, words: edit.keys, on: [:]))
        return try decoded(nodes, during: command, environment)
    }

    /// The configuration with other values for keys of a port; `nil` where there is no such port.
    /// - Throws: everything that is wrong with the words.
    public func setting(
        _ edit: PortEdit, environment: ConfigurationEnvironment = .current
    ) throws(ConfigurationErrors) -> Configuration? {
        guard let position = ports.firstIndex(where: { $0.name == edit.name }) else { return nil }
        for key in ["name", "count"] where edit.keys[key] != nil {
            throw ConfigurationErrors([
                ConfigurationError(
                    file: "port set", keyPath: key, portName: edit.name,
                    message: "cannot change: add a port and remove this one")
            ])
        }
        var nodes = ports.map(node)
        guard case .table(let members) = nodes[position].value else { return nil }
        nodes[position] = Self.node(edit.name, words: edit.keys, on: members)
        return try decoded(nodes, during: "port set", environment)
    }

    /// The configuration of these ports, and of what the switch is otherwise.
    private func decoded(
        _ nodes: [TOMLNode], during command: String, _ environment: ConfigurationEnvironment
    ) throws(ConfigurationErrors) -> Configuration {
        let directory = TOMLNode(path: TOMLPath(), value: .string(runtimeDirectory))
        let root = TOMLNode(
            path: TOMLPath(),
            value: .table([
                "switch": TOMLNode(path: TOMLPath(), value: .table(["runtime_dir": directory])),
                "port": TOMLNode(path: TOMLPath(), value: .array(nodes)),
            ]))
        var result = self
        result.ports = try ConfigurationDecoder.decode(
            root, file: command, environment: environment
        ).ports
        return result
    }

    /// A port that there is, as a table. Where another port gets into its way, it is named
    /// `port.vm1`.
    private func node(_ port: PortConfiguration) -> TOMLNode {
        let path = TOMLPath().key("port").key(port.name)
        let members = essentials(of: port).map { key, literal in
            (key, TOMLNode(path: path.key(key), literal: literal))
        }
        return TOMLNode(path: path, value: .table(Dictionary(uniqueKeysWithValues: members)))
    }

    /// A table of the words on top of `members`; keys stand in errors by themselves.
    private static func node(
        _ name: String, words: [String: String], on members: [String: TOMLNode]
    ) -> TOMLNode {
        var table: [String: TOMLNode] = [:]
        for (key, node) in members {
            table[key] = TOMLNode(path: TOMLPath().key(key), value: node.value)
        }
        let nameWord = words["name"] ?? name
        table["name"] = TOMLNode(path: TOMLPath().key("name"), value: .string(nameWord))
        for (key, word) in words where key != "name" {
            let path = TOMLPath().key(key)
            table[key] =
                word.isEmpty
                ? nil : TOMLNode(path: path, value: value(of: word, for: key, at: path))
        }
        return TOMLNode(path: TOMLPath(), value: .table(table))
    }

    /// What a word means for a key: it has no quotes, so the type of the key decides.
    private static func value(
        of word: String, for key: String, at path: TOMLPath
    ) -> TOMLNode.Value {
        let type = ConfigurationSchema.portKey(key)?.type ?? ""
        let listPrefix = "list of "
        guard type.hasPrefix(listPrefix) else { return scalar(word, of: type) }
        let inner =
            word.hasPrefix("[") && word.hasSuffix("]") ? word.dropFirst().dropLast() : word[...]
        let elements = inner.split(separator: ",").enumerated().map { index, element in
            TOMLNode(
                path: path.index(index),
                value: scalar(
                    String(element.trimmingPrefix { $0 == " " }),
                    of: String(type.dropFirst(listPrefix.count))))
        }
        return .array(elements)
    }

    private static func scalar(_ word: String, of type: String) -> TOMLNode.Value {
        switch type {
        case "integer", "size", "user", "group":
            // A number that is none is a text, and told to be of the wrong type.
            Int(word).map { .integer($0) } ?? .string(word)
        case "boolean":
            Bool(word).map { .boolean($0) } ?? .string(word)
        default:
            .string(word)
        }
    }
}
