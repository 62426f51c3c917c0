import Control
import Foundation
import Testing

/// The real `ringswitch`, running on a configuration of the test.
final class SwitchProcess: Sendable {
    /// The binary under test.
    static let executable = program("ringswitch")

    /// Where the switch keeps its sockets.
    let directory: TemporaryDirectory
    /// The running program, for what is not offered here: signals, its log.
    let process: ChildProcess

    /// Starts a switch and waits until it answers.
    /// - Parameter configuration: the TOML text, which begins with its `[switch]` table if it has
    ///   one; `runtime_dir` is added there.
    /// - Parameter prefix: a command that executes the switch, such as prlimit(1) with a limit.
    init(
        _ configuration: String, in directory: TemporaryDirectory? = nil,
        under prefix: [String] = []
    ) async throws {
        self.directory = try directory ?? TemporaryDirectory()
        let text = "[switch]\nruntime_dir = \"\(self.directory.path)\"\n"
        let file = try self.directory.write(
            text + configuration.replacing("[switch]\n", with: "", maxReplacements: 1),
            to: "ringswitch.toml")
        process = try ChildProcess(prefix + [Self.executable, "run", "--config", file])
        try await waitUntil("it answers") { _ in true }
    }

    /// Starts a switch that takes over from `former`, and waits until it has done so.
    /// - Parameter configuration: the TOML text; nil: as before.
    init(takingOver former: SwitchProcess, _ configuration: String? = nil) async throws {
        directory = former.directory
        if let configuration { try former.write(configuration) }
        process = try await Self.successor([
            Self.executable, "run", "--takeover", "--config", directory.file("ringswitch.toml"),
        ])
        let pid = process.pid
        try await waitUntil("it took over") { $0.pid == pid }
    }

    /// Starts a successor until it has taken over: one whose predecessor gives no CPU to a worker
    /// for a second is told to try again.
    private static func successor(_ command: [String]) async throws -> ChildProcess {
        let deadline = ContinuousClock.now + .patience
        while true {
            let process = try ChildProcess(command)
            do {
                try await process.line(containing: " predecessor=")
                return process
            } catch let failure as ChildProcess.Failure {
                guard failure.description.contains("does not come to rest; try again"),
                    ContinuousClock.now < deadline
                else { throw failure }
            }
        }
    }

    /// The path of an executable of this package.
    ///
    /// It lies in the directory that the environment variable RINGSWITCH_BINARIES names, else
    /// beside the test bundle: a debug build of the tests can look at release builds of programs.
    static func program(_ name: String) -> String {
        if let directory = ProcessInfo.processInfo.environment["RINGSWITCH_BINARIES"] {
            return directory + "/" + name
        }
        let bundle = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        return bundle.deletingLastPathComponent().appendingPathComponent(name).path
    }

    /// The path of a port's socket, for a port whose `path` is `name`.
    func socket(_ name: String) -> String { directory.file(name) }

    /// What `ringswitch status --json` says now.
    func status() async throws -> StatusReport {
        let result = try await command("status", "--json")
        guard result.isSuccess else { throw process.failure("status: \(result.standardError)") }
        return try ReportJSON.decode(StatusReport.self, from: Data(result.standardOutput.utf8))
    }

    /// What `ringswitch status --json` says now of the port `name`.
    func port(_ name: String) async throws -> PortStatus {
        try #require(try await status().ports.first { $0.name == name })
    }

    /// Runs a client command of the binary against this switch: `command("macs", "--json")`.
    ///
    /// A question waits two seconds for its answer. It is asked again, for a switch that got no CPU
    /// in this time.
    func command(_ arguments: String...) async throws -> ChildProcess.Result {
        let deadline = ContinuousClock.now + .patience
        while true {
            let result = try await ChildProcess.run(
                [Self.executable] + arguments + ["--socket", directory.file("control.sock")])
            let isQuestion = ["status", "macs", "save"].contains(arguments.first)
            guard isQuestion, result.standardError.contains("does not respond within"),
                ContinuousClock.now < deadline
            else { return result }
        }
    }

    /// Asks for the status until `condition` holds.
    /// - Throws: when the switch ends, or `limit` passes first.
    @discardableResult
    func waitUntil(
        _ what: String, within limit: Duration = .patience, _ condition: (StatusReport) -> Bool
    ) async throws -> StatusReport {
        let deadline = ContinuousClock.now + limit
        while true {
            if let report = try? await status(), condition(report) { return report }
            // Between two questions the test waits for what would make further ones pointless.
            if await process.ending(within: .milliseconds(20)) != nil {
                throw process.failure("ended before \(what)")
            }
            guard ContinuousClock.now < deadline else {
                throw process.failure("not within \(limit): \(what)")
            }
        }
    }

    /// Ends the switch as its administrator would, and demands that it ends well.
    func stop() async throws {
        process.send(signal: SIGTERM)
        let ending = await process.ending()
        guard ending == .exited(0) else { throw process.failure("did not end well after SIGTERM") }
    }
}
