// Tests of the rig itself: one that hangs, leaks a process or misses an end hides what it tests.

import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// The parts in `Support` that need no switch.
    @Suite("Rig")
    struct Rig {
        @Test
        func `a finished child leaves its streams and its exit status`() async throws {
            let result = try await ChildProcess.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
            #expect(result.ending == .exited(3))
            #expect(result.standardOutput == "out\n")
            #expect(result.standardError == "err\n")
        }

        @Test
        func `a child hears what it is sent and each line is waited for once`() async throws {
            let child = try ChildProcess(["cat"])
            child.send(line: "first 1")
            child.send(line: "first 2")
            #expect(try await child.line(containing: "first", within: .patience) == "first 1")
            #expect(try await child.line(containing: "first", within: .patience) == "first 2")
            await #expect(throws: ChildProcess.Failure.self) {
                try await child.line(containing: "first", within: .milliseconds(1))
            }
        }

        @Test
        func `a wait for a line ends with the child`() async throws {
            let child = try ChildProcess(["sh", "-c", "echo something else"])
            let failure = await #expect(throws: ChildProcess.Failure.self) {
                try await child.line(containing: "never", within: .patience)
            }
            #expect(try #require(failure).description.contains("    something else"))
        }

        @Test
        func `a program that does not exist is an error`() {
            #expect(throws: ChildProcess.Failure.self) { try ChildProcess(["/nowhere/at-all"]) }
        }

        @Test
        func `a dropped child dies with all that it started`() async throws {
            let watcher = try TemporaryDirectory()
            try #require(mkfifo(watcher.file("alive"), 0o600) == 0)
            // The grandchild holds the write end: `cat` ends when the last of the group is gone.
            let reader = try ChildProcess(["cat", watcher.file("alive")])
            let child = try ChildProcess([
                "sh", "-c", "exec 3>$0; tail -f /dev/null & echo up >&3; wait",
                watcher.file("alive"),
            ])
            try await reader.line(containing: "up", within: .patience)
            _ = consume child
            #expect(await reader.ending(within: .patience) == .exited(0))
        }

        @Test
        func `what a killed test process leaves is removed by its guardian`() async throws {
            let orphaned = try TemporaryDirectory()
            let child = try ChildProcess(["tail", "-f", "/dev/null"])
            let guardian = Guardian()
            guardian.hold(.directory(orphaned.path))
            guardian.hold(.processGroup(child.pid))
            guardian.abandon()
            #expect(await child.ending(within: .patience) == .killed(signal: SIGKILL))
            #expect(!FileManager.default.fileExists(atPath: orphaned.path))
        }

        @Test(.enabled(if: NetworkNamespace.isAvailable, "\(NetworkNamespace.requirement)"))
        func `a namespace is isolated, and gone with its last reference`() async throws {
            var namespace: NetworkNamespace? = try NetworkNamespace("rig")
            let name = try #require(namespace?.name)
            let inside = try #require(namespace?.inside(["ip", "-brief", "link"]))
            let devices = try await ChildProcess.run(inside).standardOutput
            #expect(devices.split(separator: "\n").count == 1 && devices.hasPrefix("lo"))
            namespace = nil
            let left = try await ChildProcess.run(["ip", "netns", "list"]).standardOutput
            #expect(!left.contains(name))
        }
    }
}
