// Reloads that must succeed although ports get into each other's way, and reloads that must fail
// without a trace.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// All or nothing.
    @Suite("Faults: reload")
    struct FaultyReload {
        private func reload(
            _ lan: SwitchProcess, _ ports: String
        ) async throws -> ChildProcess.Result {
            try Hardship.configure(ports, in: lan.directory)
            return try await lan.command("reload")
        }

        private func paths(_ lan: SwitchProcess) async throws -> [String] {
            try await lan.status().ports.map {
                "\($0.name) \(URL(fileURLWithPath: $0.path ?? "").lastPathComponent) \($0.state)"
            }
        }

        private func port(_ name: String, _ path: String) -> String {
            Hardship.port(name) + "path = \"\(path)\"\n"
        }

        @Test func `a port may be renamed and ports may swap their paths`() async throws {
            let lan = try await SwitchProcess(port("a", "1") + port("b", "2") + port("c", "3"))
            let peer = try FaultPeer(at: lan.directory.file("peer"))
            try peer.join(lan.socket("3"))
            try await lan.waitUntil("it is attached") {
                $0.ports[2].state == .attached
            }
            let result = try await reload(lan, port("b", "1") + port("x", "2") + port("c", "3"))
            #expect(result.isSuccess, "\(result.standardError)")
            #expect(
                result.standardOutput
                    == "added: x\nremoved: a\nreplaced: b\nuntouched: 1 port\n")
            #expect(try await paths(lan) == ["b 1 listening", "x 2 listening", "c 3 attached"])
            for path in ["1", "2"] {
                let newcomer = try FaultPeer(at: lan.directory.file("peer" + path))
                try newcomer.join(lan.socket(path))
                try await lan.waitUntil("\(path) is attached") {
                    $0.ports.contains { $0.path == lan.socket(path) && $0.state == .attached }
                }
            }
            try await lan.stop()
        }

        @Test func `a reload that fails at its last port leaves all as it was`() async throws {
            let before = port("a", "1") + port("b", "2") + port("c", "3")
            let lan = try await SwitchProcess(before)
            let peer = try FaultPeer(at: lan.directory.file("peer"))
            try peer.join(lan.socket("1"))
            try await lan.waitUntil("it is attached") {
                $0.ports[0].state == .attached
            }
            let taken = try FaultPeer(at: lan.directory.file("taken"))

            // A new port fails: the peer of a port that was to change notices nothing.
            let added = try await reload(
                lan, port("a", "1") + "max_frame = 9000\n" + port("z", "new") + port("y", "taken"))
            #expect(added.ending == .exited(1))
            let sentence =
                "another process listens on \(taken.path): stop it, or give this port another path"
            #expect(added.standardError == "ringswitch: port y: \(sentence)\n")
            #expect(try await paths(lan) == ["a 1 attached", "b 2 listening", "c 3 listening"])
            #expect(!FileManager.default.fileExists(atPath: lan.socket("new")))

            // A port that has to wait for another's path fails: those before it come back.
            try #require(unlink(lan.socket("3")) == 0)
            try FileManager.default.createDirectory(
                atPath: lan.socket("3"), withIntermediateDirectories: false)
            let swapped = try await reload(lan, port("a", "2") + port("b", "1") + port("d", "3"))
            #expect(swapped.ending == .exited(1))
            #expect(
                swapped.standardError
                    == "ringswitch: port d: \(lan.socket("3")) exists and is not a socket, so it "
                    + "was left alone: move it away, or give this port another path\n")
            let names = try await lan.status().ports.map(\.name)
            #expect(names.starts(with: ["a", "b"]))
            #expect(try await lan.port("a").path == lan.socket("1"))
            #expect(try await lan.port("b").path == lan.socket("2"))
            let newcomer = try FaultPeer(at: lan.directory.file("newcomer"))
            try newcomer.join(lan.socket("2"))
            try await lan.waitUntil("b works") {
                $0.ports[1].state == .attached
            }
            try await lan.stop()
        }

        @Test func `keys that need a restart are named and relative paths stay`() async throws {
            let lan = try await SwitchProcess(port("a", "1"))
            try lan.directory.write(
                "[switch]\nruntime_dir = \"/nowhere\"\nworkers = 2\nmac_ageing = \"9s\"\n"
                    + port("a", "1") + port("b", "2"), to: "ringswitch.toml")
            let result = try await lan.command("reload")
            #expect(result.isSuccess, "\(result.standardError)")
            #expect(
                result.standardOutput
                    == "added: b\nuntouched: 1 port\nnot applied, needs a restart of the switch: "
                    + "workers, runtime_dir, mac_ageing\n")
            #expect(try await paths(lan) == ["a 1 listening", "b 2 listening"])
            try await lan.stop()
        }

        @Test func `every port of a full switch can be renamed`() async throws {
            func ports(_ name: String) -> String {
                "[[port]]\nname = \"\(name){n}\"\ncount = 1024\ntype = \"unixgram\"\n"
            }
            let lan = try await SwitchProcess(ports("a"))
            let result = try await reload(lan, ports("b"))
            #expect(result.isSuccess, "\(result.standardError)")
            let report = try await lan.status()
            #expect(report.ports.count == 1024)
            #expect(report.ports.allSatisfy { $0.name.hasPrefix("b") && $0.state == .listening })
            try await lan.stop()
        }
    }
}
