// A configuration that changes under a running switch.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// SIGHUP and `ringswitch reload`, all or nothing.
    @Suite("Reload")
    struct Reload {
        /// A flow from a to b, which lasts until it is ended.
        private func traffic(_ lan: SwitchProcess) async throws -> LoadGenerator {
            let load = try LoadGenerator(
                endpoints: [lan.endpoint("a", 0), lan.endpoint("b", 1)],
                flows: ["from=a to=b size=300 rate=20000 duration=500"], options: ["--ready"])
            try await load.isReady()
            return load
        }

        /// Ends the flow when it has gone on for some thousand frames more.
        private func end(_ load: LoadGenerator, _ lan: SwitchProcess) async throws -> LoadReport {
            let before = try await lan.status().totals.sentFrames
            try await lan.waitUntil("traffic goes on") { $0.totals.sentFrames > before + 5000 }
            return try await load.end()
        }

        @Test
        func `ports are added, removed and replaced, and others stay as they are`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b", "old", "new"]))
            let peers = [try lan.peer("a", 0), try lan.peer("b", 1)]
            try await lan.allAttached(["a", "b"])
            try await Peer.introduce(peers)
            let before = try await lan.status()

            try lan.write(
                SwitchProcess.ports(["a", "b"])
                    + "[[port]]\nname = \"new\"\nmax_frame = 9018\n[[port]]\nname = \"more\"\n")
            let result = try await lan.command("reload", "--json")
            #expect(result.isSuccess, "\(result.standardError)")
            let change = try ReportJSON.decode(
                ReloadReport.self, from: Data(result.standardOutput.utf8))
            #expect(change.added == ["more"] && change.removed == ["old"])
            #expect(change.replaced == ["new"] && change.unchanged == ["a", "b"])
            #expect(change.needsRestart == [])

            let after = try await lan.status()
            #expect(after.ports.map(\.name) == ["a", "b", "new", "more"])
            #expect(try after.port("new").maxFrame == 9018)
            #expect(!lan.exists("old.sock") && lan.exists("more.sock"))
            for name in ["a", "b"] {
                #expect(try after.port(name).since == before.port(name).since)
                #expect(try after.port(name).peer == before.port(name).peer)
            }

            // Those that are new or replaced take machines.
            let more = [try lan.peer("new", 2), try lan.peer("more", 3)]
            try await lan.allAttached()
            try await Peer.introduce(peers + more)
            let long = more[0].frame(to: TestFrame.broadcast, number: 1, length: 9018)
            try more[0].send(long)
            let marker = more[0].frame(to: TestFrame.broadcast, number: 2)
            try more[0].send(marker)
            for peer in peers + [more[1]] { #expect(try await peer.frames(before: marker) == []) }
            let report = try await lan.expectExactBooks(
                sent: (peers + more).reduce(0) { $0 + $1.sentFrames },
                received: (peers + more).reduce(0) { $0 + $1.receivedFrames })
            #expect(report.totals.drops["too_big"] == 3)
            try await lan.stop()
        }

        @Test
        func `ports that stay lose no frame while others come and go`() async throws {
            let keys = SwitchProcess.patientKeys
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b", "x"], keys))
            let load = try await traffic(lan)
            for round in 0..<40 {
                let names = round % 2 == 0 ? ["y", "z"] : ["x"]
                try lan.write(SwitchProcess.ports(["a", "b"] + names, keys))
                let result = try await lan.command("reload")
                #expect(result.isSuccess, "\(result.standardError)")
            }
            let report = try await end(load, lan)
            #expect(report.faults == 0 && report.flow(0)?.lost == 0)
            #expect(report.sent[0].errors == 0)
            try await lan.expectExactBooks(
                sent: report.totals.sent, received: report.totals.received)
            try await lan.stop()
        }

        @Test
        func `queues, buffers and permissions change under traffic, and no frame is lost`()
            async throws
        {
            let lan = try await SwitchProcess(
                SwitchProcess.ports(["a", "b"], SwitchProcess.patientKeys))
            let load = try await traffic(lan)
            let before = try await lan.status()
            for round in 0..<40 {
                let even = round % 2 == 0
                try lan.write(
                    SwitchProcess.ports(
                        ["a", "b"],
                        "queue = \"\(even ? "fifo" : "fair")\"\nmode = \"06\(even ? 4 : 6)0\"\n"
                            + "queue_bytes = \"\(200 + round % 3)MiB\"\nqueue_delay = \"9s\"\n"
                            + "queue_target = \"1s\"\n"
                            + "send_buffer = \"\(even ? 256 : 320)KiB\"\nallow_uids = [0]\n"))
                let result = try await lan.command("reload", "--json")
                let change = try ReportJSON.decode(
                    ReloadReport.self, from: Data(result.standardOutput.utf8))
                #expect(change.changed == ["a", "b"] && change.replaced == [])
                let mode =
                    try FileManager.default.attributesOfItem(
                        atPath: lan.socket("a.sock"))[.posixPermissions] as? Int
                #expect(mode == (even ? 0o640 : 0o660))
            }
            let report = try await end(load, lan)
            #expect(report.faults == 0 && report.flow(0)?.lost == 0)
            #expect(report.sent[0].errors == 0)
            try await lan.expectExactBooks(
                sent: report.totals.sent, received: report.totals.received)
            let after = try await lan.status()
            #expect(try after.port("b").counters.handshakes == before.port("b").counters.handshakes)
            try await lan.stop()
        }

        @Test
        func `a peer stays attached while its port changes, and then its successor is judged anew`()
            async throws
        {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            var a: Peer? = try lan.peer("a", 0)
            let b = try lan.peer("b", 1)
            try await lan.allAttached()
            let before = try await lan.status()
            try lan.write(
                SwitchProcess.ports(
                    ["a", "b"], "send_buffer = \"64KiB\"\nallow_uids = [\(getuid() + 1)]"))
            #expect(try await lan.command("reload").isSuccess)
            let after = try await lan.status()
            for name in ["a", "b"] {
                #expect(try after.port(name).since == before.port(name).since)
                #expect(try after.port(name).peer == before.port(name).peer)
                #expect(try after.port(name).effectiveSendBuffer == 64 << 10)
            }
            try await Peer.introduce([try #require(a), b])
            a = nil
            try await lan.waitUntil("a listens") {
                $0.ports[0].state == .listening
            }
            let successor = try lan.peer("a", 2)
            try await lan.process.line(
                containing: "its user is not in allow_uids")
            withExtendedLifetime(successor) {}
            try await lan.stop()
        }

        @Test
        func `SIGHUP reloads as well`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a"]))
            try lan.write(SwitchProcess.ports(["a", "b"]))
            lan.process.send(signal: SIGHUP)
            try await lan.process.line(containing: "configuration reloaded")
            #expect(try await lan.status().ports.map(\.name) == ["a", "b"])
            try await lan.stop()
        }

        @Test
        func `a broken file changes nothing and all its errors are told`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let peers = [try lan.peer("a", 0), try lan.peer("b", 1)]
            try await lan.allAttached()
            try await Peer.introduce(peers)
            let before = try await lan.status()
            try lan.write(
                """
                [[port]]
                name = "a"
                type = "unixgram"
                mod = "0660"
                [[port]]
                name = "c"
                type = "unixgramm"
                [[port]]
                name = "d"
                type = "unixgram"
                queue_delay = "5 parsecs"
                """)
            let errors = ["port[1].mod", "port[2].type", "port[3].queue_delay"]
            let result = try await lan.command("reload")
            #expect(result.ending != .exited(0))
            for error in errors { #expect(result.standardError.contains(error), "\(result)") }
            lan.process.send(signal: SIGHUP)
            for error in errors {
                let line = try await lan.process.line(containing: error)
                #expect(line.contains("reload refused"))
            }
            let after = try await lan.status()
            #expect(after.ports.map(\.name) == ["a", "b"])
            #expect(after.ports.map(\.since) == before.ports.map(\.since))
            #expect(!lan.exists("d.sock"))
            let marker = peers[0].frame(to: peers[1].mac, number: 1)
            try peers[0].send(marker)
            #expect(try await peers[1].frames(before: marker) == [])
            try await lan.stop()
        }

        @Test
        func `a port that cannot be opened takes the whole reload back`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            try lan.write(
                SwitchProcess.ports(["a", "c"])
                    + "[[port]]\nname = \"d\"\npath = \"/nonexistent/d.sock\"\n")
            let result = try await lan.command("reload")
            #expect(result.ending != .exited(0))
            #expect(result.standardError.contains("/nonexistent"), "\(result.standardError)")
            #expect(try await lan.status().ports.map(\.name) == ["a", "b"])
            #expect(lan.exists("b.sock") && !lan.exists("c.sock"))
            try await lan.stop()
        }

        @Test
        func `keys that wait for a restart are named`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a"]))
            try lan.write(
                SwitchProcess.ports(["a"], switchKeys: "workers = 2\nmac_limit = 64"))
            let result = try await lan.command("reload", "--json")
            let change = try ReportJSON.decode(
                ReloadReport.self, from: Data(result.standardOutput.utf8))
            #expect(Set(change.needsRestart) == ["workers", "mac_limit"])
            #expect(try await lan.status().workers.count == 1)
            try await lan.stop()
        }
    }
}

extension SwitchProcess {
    /// Replaces the configuration file; the text has its `[switch]` table first, if it has one.
    func write(_ configuration: String) throws {
        try directory.write(
            "[switch]\nruntime_dir = \"\(directory.path)\"\n"
                + configuration.replacing("[switch]\n", with: "", maxReplacements: 1),
            to: "ringswitch.toml")
    }

    /// Whether there is a file `name` in the runtime directory.
    func exists(_ name: String) -> Bool {
        FileManager.default.fileExists(atPath: directory.file(name))
    }
}
