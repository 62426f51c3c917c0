import Foundation
import Glibc

/// One run of the demo, step by step.
struct DemoRun {
    /// Time limits in seconds, generous enough for a busy machine.
    private static let startSeconds = 20
    private static let restSeconds = 10
    /// Readings without a difference that count as rest; one every 20 ms.
    private static let restReadings = 10
    /// Beyond the measurement itself: connecting and exchanging results.
    private static let measureExtraSeconds = 20

    private let options: DemoOptions
    private let narrator: DemoNarrator
    private let patience: DemoPatience

    init(_ options: DemoOptions, _ narrator: DemoNarrator) throws(DemoError) {
        self.options = options
        self.narrator = narrator
        do throws(SystemFailure) {
            patience = DemoPatience(signals: try SignalInlet())
        } catch {
            throw DemoError(error)
        }
    }

    /// Does it all. Whatever it started has ended and is removed when this returns or throws.
    func perform() throws(DemoError) -> DemoReport {
        let stage: DemoStage
        do throws(SystemFailure) {
            stage = try DemoStage()
        } catch {
            throw DemoError(error)
        }
        defer { _ = stage.clear() }
        narrator.say("Two isolated hosts with offloading, one switch between them, real TCP.", "")
        let daemon = try startSwitch(stage)
        try startHosts(stage)
        let server = try startServer(stage)
        let directions = try [false, true].map { isReverse throws(DemoError) in
            try measure(stage, isReverse: isReverse)
        }
        var report = try takeStock(stage, daemon, server, directions)
        narrator.say([""] + indented(report.directionLines))
        narrator.say([""] + indented(report.countingLines))
        narrator.say([""] + indented(report.verdictLines))
        report.leftovers = stage.clear()
        sayFarewell(stage, report)
        return report
    }

    // MARK: Steps

    private func startSwitch(_ stage: DemoStage) throws(DemoError) -> DemoChild {
        let daemon = try stage.startSwitch(ports: ["a", "b"])
        let signs = [stage.client.socketPath, stage.portPath("a"), stage.portPath("b")]
        try patience.wait(
            for: "the switch's sockets", seconds: Self.startSeconds, while: [daemon]
        ) { () throws(DemoError) in
            signs.allSatisfy(FileManager.default.fileExists)
        }
        step("switch", "pid \(daemon.process.pid), raw ports a and b in \(stage.directory.path)")
        return daemon
    }

    private func startHosts(_ stage: DemoStage) throws(DemoError) {
        let isNamed = Self.mayMakeNamedNamespaces
        _ = try stage.startHost("a", address: "10.77.0.1", isNamed: isNamed)
        _ = try stage.startHost("b", address: "10.77.0.2", isNamed: isNamed)
        try patience.wait(
            for: "the hosts to join their ports", seconds: Self.startSeconds, while: stage.children
        ) { () throws(DemoError) in
            let ports = (try? stage.client.status())?.ports ?? []
            return !ports.isEmpty && ports.allSatisfy(\.state.isUp)
        }
        for host in stage.hosts {
            step("host \(host.name)", "eth0 \(host.address), \(host.place), on port \(host.name)")
        }
    }

    private func startServer(_ stage: DemoStage) throws(DemoError) -> DemoChild {
        let server = try stage.start(
            name: "iperf3 server", label: "server", ["iperf3", "--server", "--forceflush"],
            in: stage.hosts[0])
        let sign = Data("Server listening".utf8)
        try patience.wait(
            for: "iperf3 to listen", seconds: Self.startSeconds, while: stage.children
        ) { () throws(DemoError) in
            server.output.range(of: sign) != nil
        }
        return server
    }

    /// Measures from host b to host a, or the other way.
    private func measure(
        _ stage: DemoStage, isReverse: Bool
    ) throws(DemoError) -> DemoReport.Direction {
        let (server, client) = (stage.hosts[0], stage.hosts[1])
        let (from, to) = isReverse ? (server, client) : (client, server)
        let streams = options.streams == 1 ? "one TCP stream" : "\(options.streams) TCP streams"
        step("iperf3", "\(streams) from \(from.name) to \(to.name) for \(options.seconds) s ...")
        let others = stage.children
        var arguments = [
            "iperf3", "--client", server.address, "--json", "--connect-timeout", "5000",
            "--time", "\(options.seconds)", "--parallel", "\(options.streams)",
        ]
        if isReverse { arguments.append("--reverse") }
        let iperf = try stage.start(
            name: "iperf3", label: isReverse ? "reverse" : "forward", arguments, in: client)
        try patience.waitForEnd(
            of: iperf, seconds: options.seconds + Self.measureExtraSeconds,
            while: others.filter { !$0.process.hasEnded })
        let result = try IperfResult(json: iperf.output)
        return DemoReport.Direction(
            from: from.name, to: to.name, bitsPerSecond: result.bitsPerSecond,
            retransmits: result.retransmits, seconds: result.seconds)
    }

    /// Sends the hosts home and reads the counters once nothing moves.
    private func takeStock(
        _ stage: DemoStage, _ daemon: DemoChild, _ server: DemoChild,
        _ directions: [DemoReport.Direction]
    ) throws(DemoError) -> DemoReport {
        stage.end(server)
        // Frames on their way to a host that has left would be lost in its socket.
        _ = try totalsAtRest(stage, daemon)
        var (sent, received): (UInt64, UInt64) = (0, 0)
        for host in stage.hosts {
            stage.end(host.attachment)
            let output = host.attachment.output
            guard let report = try? ReportJSON.decode(AttachReport.self, from: output) else {
                throw host.attachment.endedTooEarly
            }
            sent += report.toSwitch.frames
            received += report.fromSwitch.frames
        }
        let totals = try totalsAtRest(stage, daemon)
        let completed = try status(stage).ports.reduce(0) { $0 + $1.counters.checksumsCompleted }
        return DemoReport(
            directions: directions, totals: totals, unaccountedFrames: totals.unaccountedFrames,
            hostsSentFrames: sent, hostsReceivedFrames: received, checksumsCompleted: completed)
    }

    /// The switch's totals once several readings in a row are the same and account for every frame;
    /// what they are in the end where they never do.
    ///
    /// Two would not do: those of a worker that waits for a CPU are the same as well.
    private func totalsAtRest(
        _ stage: DemoStage, _ daemon: DemoChild
    ) throws(DemoError) -> TrafficTotals {
        var last: TrafficTotals?
        var sameReadings = 0
        do throws(DemoError) {
            try patience.wait(for: "rest", seconds: Self.restSeconds, while: [daemon]) {
                () throws(DemoError) in
                let totals = try self.status(stage).totals
                let isAccounted = totals.unaccountedFrames == 0 && totals.queuedFrames == 0
                sameReadings = totals == last && isAccounted ? sameReadings + 1 : 0
                last = totals
                return sameReadings == Self.restReadings
            }
        } catch {
            guard case .tooSlow = error else { throw error }
        }
        return try status(stage).totals
    }

    private func status(_ stage: DemoStage) throws(DemoError) -> StatusReport {
        do throws(ControlClientError) {
            return try stage.client.status()
        } catch {
            throw .failed(program: "switch", reason: "\(error)")
        }
    }

    // MARK: Words

    private func step(_ who: String, _ what: String) {
        narrator.say("  " + who.padding(toLength: 8, withPad: " ", startingAt: 0) + what)
    }

    private func indented(_ lines: [String]) -> [String] { lines.map { "  " + $0 } }

    private func sayFarewell(_ stage: DemoStage, _ report: DemoReport) {
        narrator.say("")
        if report.leftovers.isEmpty {
            narrator.say(
                "  Removed again: \(stage.children.count) processes, \(stage.hosts.count) "
                    + "namespaces, 1 directory. Nothing is left behind.")
        } else {
            narrator.say(report.leftovers.map { "  Left behind, which must not be: \($0)" })
        }
    }

    // MARK: The machine

    /// Whether PATH has an executable of this name.
    static func isInPath(_ program: String) -> Bool {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        return path.split(separator: ":").contains { access("\($0)/\(program)", X_OK) == 0 }
    }

    /// Root, and not one that a container has stripped of CAP_SYS_ADMIN (bit 21, capabilities(7)).
    private static var mayMakeNamedNamespaces: Bool {
        guard geteuid() == 0,
            let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
            let line = status.split(separator: "\n").first(where: { $0.hasPrefix("CapEff:") }),
            let mask = UInt64(line.dropFirst(7).drop { $0.isWhitespace }, radix: 16)
        else { return false }
        return mask >> 21 & 1 == 1
    }
}
