// A switch that is killed, or restarted by its service manager, and whose VMs keep their
// connections: scripts/service-manager plays systemd with its descriptor store.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// The descriptor store.
    @Suite(
        "Kept state",
        .enabled(if: ChildProcess.isInstalled("python3"), "python3 plays the service manager"))
    struct KeptState {
        private static let manager = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../scripts/service-manager").standardized.path

        /// A switch with peers a and b on it, under a manager that keeps descriptors.
        private func start(_ keys: String = "") async throws -> (SwitchProcess, [Peer]) {
            let directory = try TemporaryDirectory()
            let lan = try await SwitchProcess(
                SwitchProcess.ports(["a", "b", "c"], keys), in: directory,
                under: [Self.manager, directory.file("notify")])
            let peers = [try lan.peer("a", 1), try lan.peer("b", 2)]
            try await lan.allAttached(["a", "b"])
            try await Peer.introduce(peers)
            return (lan, peers)
        }

        /// Has the manager end the switch, and waits for the next one.
        private func restart(_ lan: SwitchProcess, by signal: Int32) async throws -> StatusReport {
            let before = try await lan.status().pid
            lan.process.send(signal: signal)
            return try await lan.waitUntil("another process answers") {
                $0.pid != before
            }
        }

        @Test func `connections outlive kill -9, and no counter goes backwards`() async throws {
            let (lan, peers) = try await start()
            // What has been delivered and not counted is lost with a switch that is killed.
            func exactBooks() async throws -> StatusReport {
                try await lan.expectExactBooks(
                    sent: peers.map(\.sentFrames).reduce(0, +),
                    received: peers.map(\.receivedFrames).reduce(0, +))
            }
            var before = try await exactBooks()
            for round in 0..<5 {
                // Only the switch, not the manager: both are of one process group.
                Glibc.kill(before.pid, SIGKILL)
                let pid = before.pid
                let after = try await lan.waitUntil("it is back") {
                    $0.pid != pid
                }
                #expect(after.totals.receivedFrames >= before.totals.receivedFrames)
                #expect(after.totals.sentFrames >= before.totals.sentFrames)
                for (old, new) in zip(before.ports, after.ports) {
                    #expect(new.state == old.state && new.peer == old.peer, "\(round) \(new.name)")
                    #expect(new.counters.receivedFrames >= old.counters.receivedFrames)
                    #expect(new.counters.handshakes == old.counters.handshakes)
                }
                try await Peer.introduce(peers)
                before = try await exactBooks()
            }
            // Whoever comes and goes afterwards is served as ever.
            let third = try lan.peer("c", 3)
            peers[1].shutDown()
            try await lan.waitUntil("b is free") {
                $0.ports[1].state == .listening && $0.ports[2].state == .attached
            }
            withExtendedLifetime(third) {}
            try await lan.stop()
        }

        @Test func `a restart loses no frame, nor what the switch has learned`() async throws {
            let (lan, peers) = try await start("queue_delay = \"10s\"")
            let before = try await lan.status()
            // As the manager takes it: the switch is asked to end, and started again.
            lan.process.send(signal: SIGUSR2)
            let count: UInt32 = 100
            for number in 0..<count {
                try peers[0].send(peers[0].frame(to: peers[1].mac, number: number))
            }
            for number in 0..<count {
                let frame = try await peers[1].receive()
                #expect(frame == peers[0].frame(to: peers[1].mac, number: number))
            }
            let after = try await lan.waitUntil("another process answers") {
                $0.pid != before.pid
            }
            #expect(after.totals.floodCopies == before.totals.floodCopies)
            #expect(after.ports.map(\.peer) == before.ports.map(\.peer))
            try await lan.expectExactBooks(
                sent: peers.map(\.sentFrames).reduce(0, +),
                received: peers.map(\.receivedFrames).reduce(0, +))
            try await lan.stop()
        }

        @Test(arguments: [SIGKILL, SIGUSR2])
        func `streams outlive a restart; after kill -9 they find the same socket, packets stay`(
            signal: Int32
        ) async throws {
            let ports = [("q", "stream"), ("u", "seqpacket"), ("s", "stream")].map {
                SwitchProcess.port($0.0, $0.1)
            }
            let directory = try TemporaryDirectory()
            let lan = try await SwitchProcess(
                ports.joined(), in: directory, under: [Self.manager, directory.file("notify")])
            var qemu = try lan.streamPeer("q", 1)
            let (uml, other) = (
                try lan.streamPeer("u", 2, .seqpacket), try lan.streamPeer("s", 3)
            )
            let before = try await lan.allAttached()
            try await other.send(other.frame(to: TestFrame.broadcast))
            _ = try await (qemu.receive(), uml.receive())
            let frame = qemu.frame(to: uml.mac, number: 5, length: 600)
            let bytes = qemu.encoded(frame)
            try await qemu.send(raw: Array(bytes[..<100]))
            if signal == SIGKILL {
                Glibc.kill(before.pid, SIGKILL)
                // The end of the connection tells the machine to connect again, and somebody is
                // there at once.
                try await qemu.waitForEnd()
                qemu = try lan.streamPeer("q", 1)
                try await other.waitForEnd()
                try await qemu.send(frame)
            } else {
                lan.process.send(signal: signal)
                try await qemu.send(raw: Array(bytes[100...]))
            }
            try await uml.receive(frame)
            let after = try await lan.waitUntil("another answers") {
                $0.pid != before.pid
            }
            #expect(try after.port("u").peer == before.port("u").peer)
            #expect(try after.port("q").state == .attached)
            try await lan.stop()
        }

        @Test func `machines of one path outlive kill -9, those that share a socket as well`()
            async throws
        {
            let directory = try TemporaryDirectory()
            let lan = try await SwitchProcess(
                SwitchProcess.port(
                    "vm-{n}", "unixgram", "count = 4\npath = \"vms.sock\"\nshared = true"),
                in: directory, under: [Self.manager, directory.file("notify")])
            func machine(_ number: Int) throws -> Peer {
                try Peer(
                    mac: SwitchProcess.mac(number), own: lan.socket("own-\(number).sock"),
                    port: lan.socket("vms.sock"))
            }
            var peers = [try machine(1)]
            var report = try await lan.allAttached(["vm-1"])
            Glibc.kill(report.pid, SIGSTOP)
            peers += [try machine(2), try machine(3)]
            Glibc.kill(report.pid, SIGCONT)
            report = try await lan.allAttached(["vm-2", "vm-3"])
            for number in 4...5 {
                let pid = report.pid
                Glibc.kill(pid, SIGKILL)
                report = try await lan.waitUntil("another answers") {
                    $0.pid != pid
                }
                try await Peer.introduce(peers)
                guard number == 4 else { break }
                // The first of those that share a socket has gone before the next time.
                peers.remove(at: 1).shutDown()
                try await lan.waitUntil("its port is free") {
                    $0.ports.prefix(3).count { $0.state == .attached } == 2
                }
                peers.append(try machine(number))
                report = try await lan.waitUntil("another has it") {
                    $0.ports.prefix(3).allSatisfy { $0.state == .attached }
                }
            }
            #expect(report.ports[3].state == .listening)
            try await lan.stop()
        }

        @Test func `a peer that left while nobody was there is noticed`() async throws {
            let (lan, peers) = try await start()
            let pid = try await lan.status().pid
            Glibc.kill(pid, SIGKILL)
            peers[1].shutDown()
            try await lan.waitUntil("b is free") {
                $0.pid != pid && $0.ports[0].state == .attached && $0.ports[1].state == .listening
            }
            let successor = try lan.peer("b", 4)
            try await lan.allAttached(["a", "b"])
            try await Peer.introduce([peers[0], successor])
            // What is kept is the successor's.
            let next = try await lan.status().pid
            Glibc.kill(next, SIGKILL)
            try await lan.waitUntil("it is back") { $0.pid != next }
            try await Peer.introduce([peers[0], successor])
            try await lan.stop()
        }

        @Test func `a configuration that changed is applied after a restart`() async throws {
            let (lan, peers) = try await start()
            try lan.write(
                SwitchProcess.ports(["a", "b", "d"], "queue_delay = \"9ms\""))
            _ = try await restart(lan, by: SIGUSR2)
            let after = try await lan.waitUntil("ports are changed") {
                $0.ports.map(\.name) == ["a", "b", "d"]
            }
            #expect(after.ports.map(\.state) == [.attached, .attached, .listening])
            #expect(!lan.exists("c.sock"))
            let frame = peers[0].frame(to: peers[1].mac, number: 5)
            try peers[0].send(frame)
            #expect(try await peers[1].frames(before: frame) == [])
            try await lan.stop()
        }

        @Test func `what is of no use is let go of, and the switch starts anew`() async throws {
            let directory = try TemporaryDirectory()
            // Descriptors by the right names, and no state among them.
            let file = try directory.write(
                "[switch]\nruntime_dir = \"\(directory.path)\"\n[[port]]\nname = \"a\"\n"
                    + "type = \"unixgram\"\n", to: "ringswitch.toml")
            let script = """
                import os, sys
                os.dup2(os.open("/dev/null", os.O_RDWR), 3)
                os.dup2(3, 4)
                for number in (3, 4): os.set_inheritable(number, True)
                os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()),
                    LISTEN_FDNAMES="kept/state:kept/a/socket")
                os.execv(sys.argv[1], sys.argv[1:])
                """
            let process = try ChildProcess([
                "python3", "-c", script, SwitchProcess.executable, "run", "--config", file,
            ])
            try await process.line(containing: "starting anew")
            try await process.line(containing: "switch runs")
            process.send(signal: SIGTERM)
            #expect(await process.ending() == .exited(0))
        }
    }
}
