// Starts that cannot succeed: each ends with one clear sentence and exit code 1, and leaves alone
// what is not the switch's.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// Paths that are taken, missing, full or somebody else's.
    @Suite("Faults: paths")
    struct FaultyPaths {
        @Test func `a path that another process listens on is an error and stays`() async throws {
            let directory = try TemporaryDirectory()
            let owner = try FaultPeer(at: directory.file("a.sock"))
            let start = try await Hardship.failingStart(Hardship.port("a"), in: directory)
            #expect(
                start
                    == .error(
                        "port a: another process listens on \(owner.path): stop it, or give this "
                            + "port another path"))
            #expect(FileManager.default.fileExists(atPath: owner.path))
            #expect(!FileManager.default.fileExists(atPath: directory.file("control.sock")))
        }

        @Test func `a second switch in a directory is told the pid of the first`() async throws {
            let first = try await SwitchProcess(Hardship.port("a"))
            let second = try await Hardship.failingStart(
                Hardship.port("b"), in: first.directory)
            #expect(
                second
                    == .error(
                        "another switch (pid \(first.process.pid)) runs in "
                            + "\(first.directory.path): stop it, or give this one a "
                            + "runtime_dir of its own"))
            #expect(try await first.port("a").state == .listening)
            try await first.stop()
        }

        @Test func `the path of a live switch elsewhere is an error`() async throws {
            let first = try await SwitchProcess(Hardship.port("a"))
            let other = try TemporaryDirectory()
            let path = first.socket("a.sock")
            let second = try await Hardship.failingStart(
                Hardship.port("b") + "path = \"\(path)\"\n", in: other)
            #expect(
                second
                    == .error(
                        "port b: another process listens on \(path): stop it, or give this port "
                            + "another path"))
            try await first.stop()
        }

        @Test func `a socket that nobody owns is taken over`() async throws {
            let directory = try TemporaryDirectory()
            _ = try FaultPeer(at: directory.file("a.sock"))
            #expect(FileManager.default.fileExists(atPath: directory.file("a.sock")))
            let lan = try await SwitchProcess(Hardship.port("a"), in: directory)
            let peer = try FaultPeer(at: directory.file("peer"))
            try peer.join(lan.socket("a.sock"))
            try await lan.waitUntil("it is attached") {
                $0.ports[0].state == .attached
            }
            try await lan.stop()
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
                    == ["lock", "peer", "ringswitch.toml"])
        }

        @Test func `a file that is no socket is left alone`() async throws {
            let directory = try TemporaryDirectory()
            let path = try directory.write("precious", to: "a.sock")
            let start = try await Hardship.failingStart(Hardship.port("a"), in: directory)
            #expect(
                start
                    == .error(
                        "port a: \(path) exists and is not a socket, so it was left alone: move it "
                            + "away, or give this port another path"))
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "precious")
        }

        @Test func `of several ports the first that fails undoes those before it`() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.path + "/missing/c.sock"
            let start = try await Hardship.failingStart(
                Hardship.port("a") + Hardship.port("b") + Hardship.port("c")
                    + "path = \"\(path)\"\n", in: directory)
            #expect(
                start
                    == .error("port c: the directory of \(path) does not exist: create it first"))
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
                    == ["lock", "ringswitch.toml"])
        }

        @Test func `a runtime directory whose sockets have no room in an address is refused`()
            async throws
        {
            let directory = try TemporaryDirectory()
            let runtime = directory.path + "/" + String(repeating: "x", count: 80)
            let start = try await Hardship.failingStart(
                Hardship.port("a"), in: directory, runtime: runtime)
            #expect(start.ending == .exited(2))
            #expect(start.messages.count == 1)
            #expect(start.messages[0].contains("switch.runtime_dir"), "\(start.messages)")
        }

        @Test(.enabled(if: Hardship.isAvailable, "\(Hardship.requirement)"))
        func `a full disk is named with the file that it has no room for`() async throws {
            let cases = [
                ("size=4k", "cannot write to FULL/lock: no space left on device"),
                (
                    "nr_inodes=2",
                    "port a: cannot create the socket FULL/a.sock: no space left on device"
                ),
                ("nr_inodes=3", "cannot listen on FULL/control.sock: No space left on device"),
            ]
            for (options, message) in cases {
                let directory = try TemporaryDirectory()
                let full = directory.file("full")
                let fill = options == "size=4k" ? "head -c 4096 /dev/zero > \(full)/fill" : ""
                let start = try await Hardship.failingStart(
                    Hardship.port("a"), in: directory, runtime: full,
                    under: Hardship.mounting(
                        "mkdir \(full); mount -t tmpfs -o \(options) none \(full); \(fill)"))
                #expect(start == .error(message.replacing("FULL", with: full)), "\(options)")
            }
        }
    }
}
