// Ports that come, change and go while the switch runs, and the configuration that remains.

import Control
import Dispatch
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// `ringswitch port` and `ringswitch save`.
    @Suite("Ports at run time")
    struct RunTimePorts {
        /// Runs blocking work off the pool.
        private func blocking<Value: Sendable>(
            _ body: @escaping @Sendable () throws -> Value
        ) async throws -> Value {
            try await withCheckedThrowingContinuation { continuation in
                DispatchQueue.global().async { continuation.resume(with: Result(catching: body)) }
            }
        }

        @Test func `a port is added, serves a machine, changes under it, and goes`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a"]))
            let a = try lan.peer("a", 0)
            let added = try await lan.command("port", "add", "b", "--type", "unixgram", "mode=0666")
            #expect(added.standardOutput == "added: b\nuntouched: 1 port\n", "\(added)")
            let b = try lan.peer("b", 1)
            try await lan.allAttached()
            try await Peer.introduce([a, b])
            let before = try await lan.port("b")

            let set = try await lan.command("port", "set", "b", "queue_delay=9ms", "mode=")
            #expect(set.standardOutput == "changed: b\nuntouched: 1 port\n", "\(set)")
            #expect(try await lan.port("b").since == before.since)
            let marker = a.frame(to: b.mac, number: 1)
            try a.send(marker)
            #expect(try await b.frames(before: marker) == [])

            let removed = try await lan.command("port", "remove", "b")
            #expect(removed.standardOutput == "removed: b\nuntouched: 1 port\n", "\(removed)")
            #expect(!lan.exists("b.sock"))
            #expect(try await lan.status().ports.map(\.name) == ["a"])
            let again = try await lan.command("port", "remove", "b")
            #expect(again.ending == .exited(1))
            #expect(again.standardError == "ringswitch: there is no port \"b\"\n")
            let last = try await lan.command("port", "remove", "a")
            #expect(last.ending == .exited(1))
            try await lan.stop()
        }

        @Test func `what is wrong is told as for a file, and changes nothing`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a"]))
            let result = try await lan.command("port", "add", "b", "typ=unixgram", "mode=9")
            #expect(result.ending == .exited(2))
            let lines = result.standardError.split(separator: "\n")
            #expect(lines.count == 3, "\(lines)")
            #expect(lines.allSatisfy { $0.hasPrefix("ringswitch: port add: ") }, "\(lines)")
            let form = try await lan.command("port", "add", "b", "mode")
            #expect(form.ending == .exited(2))
            let taken = try await lan.command(
                "port", "add", "b", "--type", "unixgram", "path=/nonexistent/b.sock")
            #expect(taken.ending == .exited(1))
            #expect(try await lan.status().ports.map(\.name) == ["a"])
            try await lan.stop()
        }

        /// How ports come, change and go a thousand times.
        enum Way: CaseIterable {
            /// A port is added and removed.
            case requests
            /// The file is another one each time: a port is new, one has gone, the others change.
            case reloads
        }

        @Test(arguments: Way.allCases)
        func `a thousand changes under traffic cost nobody a frame, and nothing is left of them`(
            way: Way
        ) async throws {
            let keys = SwitchProcess.patientKeys + "queue_target = \"1s\"\n"
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"], keys))
            let load = try LoadGenerator(
                endpoints: [lan.endpoint("a", 0), lan.endpoint("b", 1)],
                flows: ["from=a to=b size=300 rate=10000 duration=500"], options: ["--ready"])
            try await load.isReady()
            let client = ControlClient(socketPath: lan.directory.file("control.sock"))
            func churn(_ count: Int) async throws {
                try await blocking {
                    for round in 0..<count {
                        switch way {
                        case .requests:
                            _ = try client.addPort(
                                PortEdit(name: "x", keys: ["type": "unixgram"]))
                            _ = try client.removePort("x")
                        case .reloads:
                            let other = keys.replacing(
                                "fifo", with: round % 2 == 0 ? "fair" : "fifo")
                            try lan.write(
                                SwitchProcess.ports(["a", "b", "x\(round % 2)"], other))
                            #expect(try client.reload().hasChanges)
                        }
                    }
                }
            }
            func memory() throws -> Int { try lan.residentKilobytes() }
            func descriptors() throws -> Int {
                try FileManager.default.contentsOfDirectory(
                    atPath: "/proc/\(lan.process.pid)/fd"
                ).count
            }
            // What is allocated once, and the heap's own ways, are not of interest.
            try await churn(100)
            let (files, before) = (try descriptors(), try memory())
            // What reads TOML never frees what it has read: 2.5 KiB of each reload here.
            let limit = SwitchProcess.isSanitized ? Int.max : before + 8192
            try await churn(900)
            // Frames that wait for b, because it gets no CPU, take memory as long as they do.
            try await lan.waitUntil("nothing is left of it") { _ in
                (try? descriptors() <= files && memory() < limit) == true
            }
            print("900 times later (\(way)): \(try memory() - before) KiB more")
            let report = try await load.end()
            #expect(report.faults == 0 && report.flow(0)?.lost == 0)
            #expect(report.sent[0].errors == 0)
            try await lan.expectExactBooks(
                sent: report.totals.sent, received: report.totals.received)
            try await lan.stop()
        }

        @Test func `what runs is saved, and is what the next switch has`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let file = lan.directory.file("ringswitch.toml")
            try #require(chmod(file, 0o640) == 0)
            for words in [
                ["port", "add", "lab-{n}", "--type", "unixgram", "count=2", "allow_uids=0"],
                ["port", "remove", "b"], ["port", "set", "a", "queue=fifo"],
            ] {
                let result = try await ChildProcess.run(
                    [SwitchProcess.executable] + words
                        + ["--socket", lan.directory.file("control.sock")])
                #expect(result.isSuccess, "\(result.standardError)")
            }
            let shown = try await lan.command("save", "--output", "-")
            let saved = try await lan.command("save")
            #expect(saved.standardOutput == "saved to \(file)\n", "\(saved)")
            #expect(try String(contentsOfFile: file, encoding: .utf8) == shown.standardOutput)
            let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions]
            #expect(mode as? Int == 0o640)
            let reload = try await lan.command("reload")
            #expect(reload.standardOutput == "nothing changed\nuntouched: 3 ports\n")
            try await lan.stop()
            let check = try await ChildProcess.run(
                [SwitchProcess.executable, "check", "--config", file])
            #expect(check.isSuccess && check.standardOutput.contains("name = \"lab-2\""))
        }

        @Test(.enabled(if: Hardship.isAvailable, "\(Hardship.requirement)"))
        func `a full disk is told, and the old file is whole`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let disk = try TemporaryDirectory()
            let script = """
                mount -t tmpfs -o size=8k none \(disk.path)
                printf 'old' > \(disk.path)/lan.toml
                head -c 100000 /dev/zero > \(disk.path)/ballast 2>/dev/null || true
                """
            let check = "\n\"$@\" || echo \"exit $?\"; cat \(disk.path)/lan.toml; ls \(disk.path)"
            let result = try await ChildProcess.run([
                "unshare", "--mount", "sh", "-ec", script + check, "sh", SwitchProcess.executable,
                "save", "--output", disk.file("lan.toml"), "--socket",
                lan.directory.file("control.sock"),
            ])
            #expect(result.standardOutput == "exit 1\noldballast\nlan.toml\n", "\(result)")
            #expect(result.standardError.contains("no space left on device"), "\(result)")
            try await lan.stop()
        }
    }
}
