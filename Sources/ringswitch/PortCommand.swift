import ArgumentParser
import Control

/// `ringswitch port`: ports that come, change and go while the switch runs.
struct PortCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "port",
        abstract: "Add, change or remove ports of a running switch.",
        discussion: """
            Keys are those of [[port]] in a configuration file, checked as there; values stand \
            without quotes, lists with commas. Other ports lose no frame. What was changed lasts \
            until the switch ends or reloads its file: `ringswitch save` writes it there.

            EXAMPLES
              ringswitch port add vm5 --type unixgram max_frame=9018
              ringswitch port add host --type tap device=rs0 address=10.0.0.1/24
              ringswitch port set vm5 queue_delay=2ms allow_uids=root,1000
              ringswitch port set vm5 queue_delay=
              ringswitch port remove vm5
            """,
        subcommands: [PortAddCommand.self, PortSetCommand.self, PortRemoveCommand.self])
}

/// Keys and values of a port on a command line.
struct PortKeys: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "A key of [[port]] and its value; without a value the key's default.",
            valueName: "key=value"))
    var words: [String] = []

    /// The keys with their values.
    func keys() throws -> [String: String] { try Self.parse(words) }

    /// Keys with their values, of words such as `mtu=1500`.
    static func parse(_ words: some Sequence<String>) throws -> [String: String] {
        var keys: [String: String] = [:]
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else {
                throw ValidationError("'\(word)' is not of the form KEY=VALUE")
            }
            guard keys.updateValue(String(parts[1]), forKey: String(parts[0])) == nil else {
                throw ValidationError("\(parts[0]) is given twice")
            }
        }
        return keys
    }
}

/// `ringswitch port add`.
struct PortAddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Add a port, or several with count=N and {n} in the name.")

    @OptionGroup var target: SwitchOptions

    @Argument(help: "Name of the new port.")
    var name: String

    @Option(help: ArgumentHelp("Type of the port, the same as type=TYPE.", valueName: "type"))
    var type: String?

    @OptionGroup var words: PortKeys

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        var keys = try words.keys()
        if let type, keys.updateValue(type, forKey: "type") != nil {
            throw ValidationError("type is given twice")
        }
        try Output.write(
            target.client().addPort(PortEdit(name: name, keys: keys)), isJSON: json)
    }
}

/// `ringswitch port set`.
struct PortSetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Give keys of a port other values.",
        discussion: """
            Queues, buffers and permissions change while the peer stays attached; for other keys \
            the port is closed and opened again. The README says which.
            """)

    @OptionGroup var target: SwitchOptions

    @Argument(help: "Name of the port.")
    var name: String

    @OptionGroup var words: PortKeys

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        try Output.write(
            target.client().setPort(PortEdit(name: name, keys: words.keys())), isJSON: json)
    }
}

/// `ringswitch port remove`.
struct PortRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Remove a port; its peer is detached.")

    @OptionGroup var target: SwitchOptions

    @Argument(help: "Name of the port.")
    var name: String

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        try Output.write(target.client().removePort(name), isJSON: json)
    }
}

extension Output {
    /// Writes what a change of the configuration did.
    static func write(_ report: ReloadReport, isJSON: Bool) throws {
        if isJSON { try write(json: report) } else { try write(lines: report.lines) }
    }
}
