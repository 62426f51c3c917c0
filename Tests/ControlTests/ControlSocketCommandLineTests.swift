// The built program, run as a user runs it: exit codes, streams, and the client commands against a
// stub of a switch.

import Foundation
import Testing

@testable import Control

@Suite(.timeLimit(.minutes(5)), .enabled(if: Program.isBuilt, "needs the built program"))
struct ControlSocketCommandLineTests {
    @Test(
        arguments: [
            ([], 0), (["--help"], 0), (["--version"], 0), (["help", "attach"], 0), (["--bogus"], 2),
            (["nonsense"], 2), (["status", "--switch", "a", "--socket", "b"], 2),
            (["demo", "--seconds", "0"], 2), (["attach"], 2),
            (["attach", "s", "--address", "x"], 2),
            (["status", "--socket", "/nonexistent/control.sock"], 1),
            (["check", "--config", "/nonexistent/lan.toml"], 2),
        ] as [([String], Int32)])
    func `the exit code tells success, failure and wrong usage apart`(
        arguments: [String], code: Int32
    ) async throws {
        let result = try await Program.run(arguments)
        #expect(result.code == code, "\(result.errors)")
        // Answers go to standard output, complaints to standard error, never both.
        #expect(result.output.isEmpty == (code != 0))
        #expect(result.errors.isEmpty == (code == 0))
    }

    @Test func `the manual page fits a terminal of eighty columns`() async throws {
        let help = try await Program.run(["--help"]).output
        #expect(help.split(separator: "\n").allSatisfy { $0.count <= 80 })
        for part in ["EXAMPLES", "FILES", "SIGNALS", "EXIT CODES", "SUBCOMMANDS"] {
            #expect(help.contains(part))
        }
    }

    @Test func `status prints the table without escape codes, or the switch's JSON`() async throws {
        try await withServer { client, _ in
            let text = try await Program.run(["status", "--socket", client.socketPath])
            #expect(text.code == 0)
            #expect(text.output == StatusText.lines(for: .sample()).joined(separator: "\n") + "\n")
            #expect(!text.output.contains("\u{1b}"))
            let json = try await Program.run(["status", "--json", "--socket", client.socketPath])
            let report = try ReportJSON.decode(StatusReport.self, from: Data(json.output.utf8))
            #expect(report == .sample())
        }
    }

    @Test func `macs lists and flushes`() async throws {
        let service = StubSwitch()
        try await withServer(service) { client, _ in
            let socket = ["--socket", client.socketPath]
            let list = try await Program.run(["macs", "--port", "host"] + socket)
            #expect(list.output.hasSuffix("\n1 entry\n"))
            let flush = try await Program.run(["macs", "flush", "--port", "vm1"] + socket)
            #expect(flush.output == "flushed 2 entries\n")
            let unknown = try await Program.run(["macs", "--port", "vm9"] + socket)
            #expect(unknown.code == 1 && unknown.errors == "ringswitch: no port is named vm9\n")
        }
        // More than once where it was not answered in time.
        #expect(await Set(service.flushes) == ["vm1"])
    }

    @Test func `a reload of a broken file prints every error and exits with 2`() async throws {
        let refusal = ControlError(.invalidConfiguration, ["lan.toml:3: a", "lan.toml:9: b"])
        try await withServer(StubSwitch(reload: .failure(refusal))) { client, _ in
            let result = try await Program.run(["reload", "--socket", client.socketPath])
            #expect(result.code == 2)
            #expect(result.errors == "ringswitch: lan.toml:3: a\nringswitch: lan.toml:9: b\n")
        }
    }
}

/// The program beside the test bundle.
private enum Program {
    private static let path = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().appending(path: "ringswitch").path

    static var isBuilt: Bool { FileManager.default.isExecutableFile(atPath: path) }

    /// Runs the program to its end; again where the suites beside this one kept the threads that
    /// answer busy for longer than it waits.
    static func run(
        _ arguments: [String]
    ) async throws -> (code: Int32, output: String, errors: String) {
        let end = ContinuousClock.now + .seconds(60)
        while true {
            let result = try await runOnce(arguments)
            guard result.errors.contains("does not respond within"), ContinuousClock.now < end
            else { return result }
        }
    }

    private static func runOnce(
        _ arguments: [String]
    ) async throws -> (code: Int32, output: String, errors: String) {
        try await blocking {
            let process = Process()
            process.executableURL = URL(filePath: path)
            process.arguments = arguments
            let (output, errors) = (Pipe(), Pipe())
            process.standardOutput = output
            process.standardError = errors
            try process.run()
            // Both fit into a pipe's buffer: reading one after the other blocks nobody.
            let outputText = try output.fileHandleForReading.readToEnd() ?? Data()
            let errorText = try errors.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            return (
                process.terminationStatus, String(decoding: outputText, as: UTF8.self),
                String(decoding: errorText, as: UTF8.self)
            )
        }
    }
}
