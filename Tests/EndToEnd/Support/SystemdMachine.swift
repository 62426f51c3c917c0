import Control
import Foundation
import Glibc
import Testing

/// A machine whose first process is systemd, the real one, with a switch as `make install` brings
/// it. It consists of namespaces (scripts/systemd-machine) and ends with the last reference.
final class SystemdMachine: Sendable {
    /// Why there is no such machine here; nil: there is.
    static let obstacle: String? = {
        guard let place = try? TemporaryDirectory() else { return "no temporary directory" }
        let process = Process()
        process.executableURL = URL(filePath: script)
        process.arguments = [place.path, "/usr/bin/true"]
        let errors = Pipe()
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, errors)
        do { try process.run() } catch { return "\(error)" }
        let text = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus != 0 else { return nil }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").last
            .map(String.init) ?? "it ended with status \(process.terminationStatus)"
    }()

    private static let top = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../..").standardized.path
    private static let script = top + "/scripts/systemd-machine"

    /// Where it has its configuration, and VMs outside their sockets.
    let directory: TemporaryDirectory
    private let process: ChildProcess
    /// Its first process as those outside number it.
    private let pid: String

    /// Boots a machine on which nothing but the configuration is of this test.
    /// - Parameter configuration: `/etc/ringswitch/ringswitch.toml`.
    init(_ configuration: String) async throws {
        directory = try TemporaryDirectory()
        // Users find the sockets of VMs there.
        chmod(directory.path, 0o711)
        for part in ["etc/ringswitch", "etc/systemd/system/ringswitch.service.d", "vms"] {
            try FileManager.default.createDirectory(
                atPath: directory.file(part), withIntermediateDirectories: true)
        }
        try directory.write(configuration, to: "etc/ringswitch/ringswitch.toml")
        let installed = try await ChildProcess.run([
            Self.top + "/scripts/install", SwitchProcess.executable,
            directory.file("installed/usr/local"), "/usr/local",
        ])
        #expect(installed.isSuccess, "\(installed)")
        process = try ChildProcess([Self.script, directory.path])
        let line = try await process.line(containing: "machine ")
        pid = String(line.dropFirst("machine ".count))
        try await waitUntil("it is up") {
            try await self.run("systemctl", "is-active", "multi-user.target").isSuccess
        }
    }

    // MARK: Administration

    /// Runs a command there.
    func run(_ command: String...) async throws -> ChildProcess.Result {
        try await ChildProcess.run(inside(command))
    }

    /// Runs systemctl(1), which must succeed.
    @discardableResult
    func systemctl(_ arguments: String...) async throws -> String {
        let result = try await ChildProcess.run(inside(["systemctl"] + arguments))
        guard result.isSuccess else {
            throw try await failure("systemctl \(arguments): \(result.standardError)")
        }
        return result.standardOutput
    }

    /// What systemd says of the service: "MainPID", "NFileDescriptorStore".
    func property(_ name: String) async throws -> String {
        try await systemctl("show", "--property", name, "--value", "ringswitch")
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Writes a drop-in of the unit, as `systemctl edit` does.
    func edit(_ lines: String) async throws {
        try directory.write(lines, to: "etc/systemd/system/ringswitch.service.d/test.conf")
        try await systemctl("daemon-reload")
    }

    /// What `ringswitch status --json` says there.
    func status() async throws -> StatusReport {
        let result = try await run("ringswitch", "status", "--json")
        guard result.isSuccess else { throw try await failure(result.standardError) }
        return try ReportJSON.decode(StatusReport.self, from: Data(result.standardOutput.utf8))
    }

    /// What the journal has of the service, without times and names.
    func journal() async throws -> String {
        try await run("journalctl", "--unit", "ringswitch", "--output", "cat").standardOutput
    }

    /// Asks again and again until it is so, for ten seconds.
    func waitUntil(_ what: String, _ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .patience
        while try await !condition() {
            if await process.ending(within: .milliseconds(20)) != nil {
                throw process.failure("ended before \(what)")
            }
            guard ContinuousClock.now < deadline else { throw try await failure("not: \(what)") }
        }
    }

    /// Waits until the service has another main process than `pid`, which is ready.
    func waitUntilRestarted(from pid: String) async throws {
        try await waitUntil("another process is ready") {
            let now = try await property("MainPID")
            let state = try await property("SubState")
            return now != pid && state == "running"
        }
    }

    private func failure(_ problem: String) async throws -> ChildProcess.Failure {
        ChildProcess.Failure(description: "\(problem)\n\(try await journal())")
    }

    // MARK: Ways in

    /// A command as it is run on the machine.
    func inside(_ command: [String]) -> [String] {
        ["nsenter", "--target", pid, "--all", "--"] + command
    }

    /// A path of the machine, for those outside.
    func path(_ path: String) -> String { "/proc/\(pid)/root" + path }

    /// Two VMs a and b on the ports of these names, which send each other numbered frames for
    /// `seconds`. They are processes of the machine, and known to it by their numbers.
    func exchange(seconds: Double) async throws -> LoadGenerator {
        let generator = try LoadGenerator(
            endpoints: ["a", "b"].enumerated().map { number, name in
                "name=\(name) port=\(path("/run/ringswitch/\(name).sock")) magic=yes "
                    + "own=\(directory.file("vms/\(name)")) mac=\(SwitchProcess.mac(number))"
            },
            flows: ["from=a to=b", "from=b to=a"].map {
                "\($0) size=200 rate=2000 duration=\(seconds) when-full=wait"
            },
            options: ["--ready", "--hold"],
            under: ["nsenter", "--target", pid, "--pid", "--net", "--"])
        try await generator.isReady()
        return generator
    }
}
