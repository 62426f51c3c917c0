// A switch that is replaced by another process while its VMs run.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// `run --takeover`: what goes well.
    @Suite("Takeover")
    struct Takeover {
        @Test func `ten takeovers under traffic lose and reorder nothing`() async throws {
            let configuration = SwitchProcess.ports(["a", "b", "c"], "queue_delay = \"10s\"")
            var lan = try await SwitchProcess(configuration)
            let peers = [try lan.peer("a", 1), try lan.peer("b", 2)]
            try await lan.allAttached(["a", "b"])
            try await Peer.introduce(peers)
            let before = try await lan.status()
            let macs = try await lan.command("macs", "--json").standardOutput
            let sender = peers[0].stream(to: peers[1])
            var last = before.totals
            for round in 0..<10 {
                let next = try await SwitchProcess(takingOver: lan)
                #expect(await lan.process.ending() == .exited(0), "\(round)")
                lan = next
                let report = try await lan.status()
                #expect(report.totals.receivedFrames >= last.receivedFrames)
                #expect(report.totals.sentFrames >= last.sentFrames)
                last = report.totals
                try await lan.waitUntilSent(40, by: peers[0])
            }
            sender.cancel()
            #expect(try await sender.value >= 400)
            let after = try await lan.expectExactBooks(
                sent: peers.map(\.sentFrames).reduce(0, +),
                received: peers.map(\.receivedFrames).reduce(0, +))
            for (old, new) in zip(before.ports, after.ports) {
                #expect(new.state == old.state && new.peer == old.peer)
                #expect(abs(new.since.timeIntervalSince(old.since)) < 1.5)
                #expect(new.counters.handshakes == old.counters.handshakes)
            }
            #expect(after.totals.drops == before.totals.drops)
            let kept = try await lan.command("macs", "--json").standardOutput
            #expect(kept.contains(peers[0].mac) && kept.contains(peers[1].mac), "\(macs)\(kept)")
            // A port that listened listens on, and one whose peer leaves is free again.
            let third = try lan.peer("c", 3)
            peers[1].shutDown()
            try await lan.waitUntil("b is free") {
                $0.ports[1].state == .listening && $0.ports[2].state == .attached
            }
            withExtendedLifetime(third) {}
            try await lan.stop()
            #expect(!lan.exists("a.sock") && !lan.exists("control.sock"))
        }

        @Test func `what waits for a VM that does not read goes along in order`() async throws {
            let lan = try await SwitchProcess(
                SwitchProcess.ports(
                    ["a", "b"], "queue_delay = \"10s\"\nsend_buffer = \"16KiB\"\nqueue = \"fifo\""))
            let peers = [try lan.peer("a", 1), try lan.peer("b", 2)]
            try await lan.allAttached()
            try await Peer.introduce(peers)
            let count: UInt32 = 200
            for number in 0..<count {
                try peers[0].send(peers[0].frame(to: peers[1].mac, number: number, length: 1000))
            }
            try await lan.waitUntil("frames wait") {
                $0.ports[1].queue.frames > 100
            }
            let next = try await SwitchProcess(takingOver: lan)
            #expect(try await next.port("b").queue.frames > 0)
            for number in 0..<count {
                let frame = try await peers[1].receive()
                #expect(
                    frame == peers[0].frame(to: peers[1].mac, number: number, length: 1000))
            }
            try await next.expectExactBooks()
            try await next.stop()
        }

        @Test func `more descriptors than a message carries go along in several`() async throws {
            let names = (0..<140).map { "p\($0)" }
            let lan = try await SwitchProcess(SwitchProcess.ports(names))
            let peers = try names.indices.map { try lan.peer(names[$0], $0) }
            try await lan.allAttached()
            let next = try await SwitchProcess(takingOver: lan)
            #expect(try await next.status().ports.allSatisfy { $0.state == .attached })
            let frame = peers[0].frame(to: TestFrame.broadcast, number: 3)
            try peers[0].send(frame)
            for peer in peers[1...] { #expect(try await peer.receive() == frame) }
            try await next.expectExactBooks()
            try await next.stop()
        }

        @Test func `the successor's configuration is applied, also what takes a restart else`()
            async throws
        {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b", "c"]))
            let peers = [try lan.peer("a", 1), try lan.peer("b", 2)]
            try await lan.allAttached(["a", "b"])
            try await Peer.introduce(peers)
            let next = try await SwitchProcess(
                takingOver: lan,
                SwitchProcess.ports(
                    ["a", "b", "d"], "queue_delay = \"7ms\"", switchKeys: "workers = 2"))
            try await next.process.line(
                containing: "configuration applied")
            let report = try await next.status()
            #expect(report.workers.count == 2 && report.ports.map(\.name) == ["a", "b", "d"])
            #expect(report.ports.map(\.state) == [.attached, .attached, .listening])
            #expect(!next.exists("c.sock"))
            let saved = try await next.command("save", "--output", "-").standardOutput
            #expect(saved.contains("7ms"), "\(saved)")
            let frame = peers[0].frame(to: peers[1].mac, number: 7)
            try peers[0].send(frame)
            #expect(try await peers[1].frames(before: frame) == [])
            try await next.stop()
        }

        @Test func `machines by descriptor, and ports that go with them, are taken over too`()
            async throws
        {
            let lan = try await SwitchProcess(
                SwitchProcess.ports(["a"]) + "[[port]]\nname = \"slot\"\nsource = \"handover\"\n")
            let peers = [
                try lan.peer("a", 1), try await lan.pairedPeer("slot", 2),
                try await lan.pairedPeer("own", 3),
            ]
            try await lan.allAttached()
            try await Peer.introduce(peers)
            let next = try await SwitchProcess(takingOver: lan)
            let report = try await next.status()
            #expect(report.ports.map(\.name) == ["a", "slot", "own"])
            #expect(report.ports.map(\.state) == [.attached, .attached, .attached])
            try await Peer.introduce(peers)
            try await next.expectExactBooks(
                sent: peers.map(\.sentFrames).reduce(0, +),
                received: peers.map(\.receivedFrames).reduce(0, +))
            peers[1].shutDown()
            peers[2].shutDown()
            try await next.waitUntil("own goes, slot waits") {
                $0.ports.map(\.name) == ["a", "slot"] && $0.ports[1].state == .listening
            }
            try await next.stop()
        }

        @Test func `who follows events is told, and finds the successor at once`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a"]))
            let follower = try ChildProcess([
                SwitchProcess.executable, "events", "--socket", lan.directory.file("control.sock"),
            ])
            try await follower.line(containing: "\"type\":\"ready\"")
            // Somebody asks all the while, and never in vain.
            let asker = Task.detached {
                var failures: [String] = []
                while !Task.isCancelled {
                    let question = [
                        SwitchProcess.executable, "status", "--json", "--socket",
                        lan.directory.file("control.sock"),
                    ]
                    var result = try await ChildProcess.run(question)
                    // A switch that gets no CPU for two seconds is asked once more.
                    if result.standardError.contains("does not respond within") {
                        result = try await ChildProcess.run(question)
                    }
                    if !result.isSuccess { failures.append(result.standardError) }
                }
                return failures
            }
            let next = try await SwitchProcess(takingOver: lan)
            try await follower.line(containing: "\"type\":\"handed_over\"")
            #expect(await follower.ending() == .exited(0))
            #expect(await lan.process.ending() == .exited(0))
            asker.cancel()
            #expect(try await asker.value == [])
            try await next.stop()
        }

        @Test(
            .enabled(if: NetworkNamespace.isAvailable, "\(NetworkNamespace.requirement)"),
            .enabled(if: FileManager.default.fileExists(atPath: "/dev/net/tun"), "no /dev/net/tun"),
            .enabled(if: ChildProcess.isInstalled("iperf3"), "iperf3 is not installed"))
        func `TCP between guests and a TAP device lives through takeovers`() async throws {
            let hosts = [try await LANHost(.raw, 1), try await LANHost(.vnet, 2)]
            var lan = try await SwitchProcess(hosts.map(\.port).joined())
            try await LANHost.join(hosts, lan)
            let listener = try ChildProcess(
                hosts[1].namespace.inside(["iperf3", "--server", "--one-off", "--forceflush"]))
            try await listener.line(containing: "Server listening")
            let client = try ChildProcess(
                hosts[0].namespace.inside([
                    "iperf3", "--client", hosts[1].address, "--time", "5", "--json",
                ]))
            for _ in 0..<3 {
                try await lan.waitUntil("traffic flows") {
                    $0.ports[1].state == .up
                }
                let next = try await SwitchProcess(takingOver: lan)
                #expect(await lan.process.ending() == .exited(0))
                lan = next
            }
            let result = try await client.result()
            #expect(result.isSuccess, "\(result)")
            try await lan.expectExactBooks()
            #expect(try await lan.port(hosts[1].name).state == .up)
            try await lan.stop()
            let left = try await ChildProcess.run(
                hosts[1].namespace.inside(["ip", "-brief", "link"])
            ).standardOutput
            #expect(!left.contains("eth0"), "\(left)")
        }
    }
}
