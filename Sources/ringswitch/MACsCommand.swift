import ArgumentParser
import Control

/// `ringswitch macs`: the MAC table.
struct MACsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "macs",
        abstract: "Show or flush the MAC table (FDB).",
        usage: """
            ringswitch macs [--port <port>] [--json]
            ringswitch macs flush [--port <port>] [--json]
            """,
        subcommands: [MACsListCommand.self, MACsFlushCommand.self],
        defaultSubcommand: MACsListCommand.self)
}

/// `ringswitch macs list`, and `ringswitch macs` alone.
struct MACsListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show learned addresses (the default).")

    @OptionGroup var target: SwitchOptions

    @Option(help: ArgumentHelp("Only addresses learned on this port.", valueName: "port"))
    var port: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let report = try target.client().macs(port: port)
        if json {
            try Output.write(json: report)
        } else {
            try Output.write(lines: MACText.lines(for: report))
        }
    }
}

/// `ringswitch macs flush`.
struct MACsFlushCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flush",
        abstract: "Forget learned addresses; they are learned anew from traffic.")

    @OptionGroup var target: SwitchOptions

    @Option(help: ArgumentHelp("Only addresses learned on this port.", valueName: "port"))
    var port: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let report = try target.client().flushMACs(port: port)
        if json {
            try Output.write(json: report)
        } else {
            let noun = report.flushed == 1 ? "entry" : "entries"
            try Output.write(lines: ["flushed \(report.flushed) \(noun)"])
        }
    }
}
