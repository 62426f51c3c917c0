import ArgumentParser
import Control

/// `ringswitch demo`: the main job, shown in a few seconds.
struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Measure TCP between two namespaces through a switch, and clean up.",
        discussion: """
            Starts a switch and two network namespaces that leave checksums and the cutting up of \
            TCP to it, runs iperf3 between them, and prints throughput, retransmits and the \
            switch's own counters. Needs iperf3, and no privileges \
            but access to /dev/net/tun; nothing is left behind.
            """)

    @Option(help: ArgumentHelp("How long iperf3 measures.", valueName: "seconds"))
    var seconds = 5

    @Option(help: ArgumentHelp("TCP streams at a time, 1 to 128.", valueName: "count"))
    var streams = 1

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard (1...3600).contains(seconds) else {
            throw ValidationError("--seconds is 1 to 3600, not \(seconds)")
        }
        guard (1...128).contains(streams) else {
            throw ValidationError("--streams is 1 to 128, not \(streams)")
        }
    }

    func run() throws {
        throw ExitCode(try Demo.run(DemoOptions(seconds: seconds, streams: streams, isJSON: json)))
    }
}
