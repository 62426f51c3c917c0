import ArgumentParser
import Control

/// `ringswitch status`: ports, peers, counters; once, or every second.
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show ports, peers, traffic, queues and drops.",
        discussion: """
            Counters are of whole frames since the port was configured. --watch shows rates in \
            their place from the second look on. With --watch and --json a report is one line.
            """)

    @OptionGroup var target: SwitchOptions

    @Flag(help: "Look again every second, until interrupted.")
    var watch = false

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let client = try target.client()
        if watch {
            try StatusWatch(client: client, isJSON: json).run()
        } else if json {
            try Output.write(String(decoding: client.get("/status"), as: UTF8.self))
        } else {
            try Output.write(lines: StatusText.lines(for: client.status()))
        }
    }
}
