// Machines on sockets that have connections: each client's bytes as it sends them, machines that
// come and go, and machines that do what no machine should.

import Control
import Foundation
import Testing

extension EndToEnd {
    /// Ports of type `stream`, `seqpacket` and `vpnkit`.
    @Suite("Streams")
    struct Streams {
        private static let uuid = "0f4ba5c3-0b0c-4b9e-8d23-3d1c3a2b5c11"

        /// A switch with these ports and two machines that talk, "a" (1) and "b" (2).
        private func pair(
            _ more: String = "", _ keys: String = ""
        ) async throws -> (SwitchProcess, StreamPeer, StreamPeer) {
            let keys = SwitchProcess.patientKeys + keys
            let lan = try await SwitchProcess(
                SwitchProcess.port("a", "stream", keys) + SwitchProcess.port("b", "stream", keys)
                    + more)
            let (a, b) = (try lan.streamPeer("a", 1), try lan.streamPeer("b", 2))
            try await lan.allAttached(["a", "b"])
            try await a.send(a.frame(to: TestFrame.broadcast))
            _ = try await b.receive()
            try await b.send(b.frame(to: a.mac))
            _ = try await a.receive()
            return (lan, a, b)
        }

        /// Demands that frames of every length pass both ways, in order.
        private func expectTraffic(
            _ a: StreamPeer, _ b: StreamPeer, count: Int = 300
        ) async throws {
            for (from, to) in [(a, b), (b, a)] {
                let frames = (0..<count).map {
                    from.frame(to: to.mac, number: UInt32($0), length: 60 + $0 * 37 % 1455)
                }
                // All at once: the switch gets them in whatever pieces the kernel makes.
                async let sending: Void = from.send(raw: frames.flatMap { from.encoded($0) })
                for frame in frames { #expect(try await to.receive(from: from.mac) == frame) }
                try await sending
            }
        }

        @Test
        func `each kind of client exchanges frames with each other`() async throws {
            let lan = try await SwitchProcess(
                SwitchProcess.port("qemu", "stream") + SwitchProcess.port("uml", "seqpacket")
                    + SwitchProcess.port("hyperkit", "vpnkit")
                    + SwitchProcess.port("krun", "unixgram"))
            let qemu = try lan.streamPeer("qemu", 1)
            let uml = try lan.streamPeer("uml", 2, .seqpacket)
            let hyperkit = try lan.streamPeer("hyperkit", 3, .vpnkit)
            let reply = try await hyperkit.shakeHands(uuid: Self.uuid)
            #expect(Array(reply[..<5]) == [1, 0xDC, 0x05, 0xEA, 0x05])
            #expect(reply[5] & 3 == 2, "a locally administered address")
            #expect(reply[11...].allSatisfy { $0 == 0 })
            let krun = try lan.peer("krun", 4)
            let report = try await lan.allAttached()
            #expect(try report.port("qemu").peer?.pid == getpid())
            #expect(try report.port("uml").peer?.uid == getuid())

            let machines = [qemu, uml, hyperkit]
            for machine in machines {
                try await machine.send(machine.frame(to: TestFrame.broadcast))
            }
            try krun.send(krun.frame(to: TestFrame.broadcast))
            for from in machines {
                for to in machines where to !== from {
                    let frame = from.frame(to: to.mac, number: 7, length: 1514)
                    try await from.send(frame)
                    try await to.receive(frame)
                }
                let frame = krun.frame(to: from.mac, number: 8, length: 1514)
                try krun.send(frame)
                try await from.receive(frame)
            }

            // The same machine is given the same address again.
            hyperkit.shutDown()
            try await lan.waitUntil("hyperkit left") {
                (try? $0.port("hyperkit").state) == .listening
            }
            let again = try lan.streamPeer("hyperkit", 3, .vpnkit)
            #expect(try await again.shakeHands(uuid: Self.uuid) == reply)
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test(arguments: ["drop", "pause"])
        func `frames of every length pass in order in whatever pieces they come`(
            congestion: String
        ) async throws {
            let (lan, a, b) = try await pair("", "on_congestion = \"\(congestion)\"")
            try await expectTraffic(a, b)
            // A byte at a time is a stream as well.
            let frame = a.frame(to: b.mac, number: 5, length: 75)
            for byte in a.encoded(frame) { try await a.send(raw: [byte]) }
            #expect(try await b.receive() == frame)
            let report = try await lan.expectExactBooks()
            #expect(report.totals.droppedFrames == 0, "\(report.totals.drops)")
            try await lan.stop()
        }

        @Test
        func `clients of one path become one port each, and leave it to their successors`()
            async throws
        {
            let lan = try await SwitchProcess(
                SwitchProcess.port(
                    "vm-{n}", "stream", "count = 3\npath = \"vms.sock\"\nshared = true"))
            var machines = try (1...3).map { try lan.streamPeer("vms", $0) }
            try await lan.allAttached()
            // All ports are taken.
            let fourth = try lan.streamPeer("vms", 4)
            try await fourth.waitForEnd()

            machines[1].shutDown()
            try await lan.waitUntil("vm-2 is free") {
                (try? $0.port("vm-2").state) == .listening
            }
            machines[1] = try lan.streamPeer("vms", 5)
            try await lan.allAttached()
            try await machines[0].send(machines[0].frame(to: TestFrame.broadcast))
            for machine in machines[1...] { _ = try await machine.receive(from: machines[0].mac) }
            try await machines[1].send(machines[1].frame(to: machines[0].mac))
            _ = try await machines[0].receive(from: machines[1].mac)

            // What runs can be written and read again.
            let saved = try await lan.command("save", "--output", "-")
            #expect(saved.isSuccess, "\(saved.standardError)")
            let file = try lan.directory.write(saved.standardOutput, to: "saved.toml")
            let check = try await ChildProcess.run(
                [SwitchProcess.executable, "check", "--config", file])
            #expect(check.isSuccess, "\(check.standardError)")
            // One port goes; the others share on.
            let removed = try await lan.command("port", "remove", "vm-3")
            #expect(removed.isSuccess, "\(removed.standardError)")
            try await machines[2].waitForEnd()
            try await expectTraffic(machines[0], machines[1], count: 50)
            try await lan.stop()
        }

        @Test(arguments: [StreamPeer.Framing.stream, .seqpacket])
        func `a port that connects reaches its peer whenever that listens`(
            framing: StreamPeer.Framing
        ) async throws {
            let type = framing == .stream ? "stream" : "seqpacket"
            let lan = try await SwitchProcess(
                SwitchProcess.port("a", "stream")
                    + SwitchProcess.port("up", type, "connect = \"up.sock\""))
            let a = try lan.streamPeer("a", 1)
            #expect(try await lan.port("up").state == .connecting)
            for _ in 0..<2 {
                let up = try await StreamPeer.accepting(
                    framing, mac: SwitchProcess.mac(2), at: lan.socket("up.sock"))
                try await lan.allAttached()
                try await up.send(up.frame(to: TestFrame.broadcast))
                _ = try await a.receive(from: up.mac)
                try await a.send(a.frame(to: up.mac, length: 700))
                #expect(try await up.receive(from: a.mac).bytes.count == 700)
                up.shutDown()
                try await lan.waitUntil("the switch tries again") {
                    (try? $0.port("up").state) == .connecting
                }
            }
            try await lan.stop()
        }

        @Test
        func `a unixgram port that connects joins another switch, also after its restart`()
            async throws
        {
            let far = try TemporaryDirectory()
            let near = try await SwitchProcess(
                SwitchProcess.port("a", "stream")
                    + SwitchProcess.port(
                        "uplink", "unixgram", "connect = \"\(far.file("down.sock"))\""))
            let a = try near.streamPeer("a", 1)
            let configuration =
                SwitchProcess.port("b", "stream") + SwitchProcess.port("down", "unixgram")
            for _ in 0..<2 {
                let lan = try await SwitchProcess(configuration, in: far)
                let b = try lan.streamPeer("b", 2)
                try await lan.allAttached()
                try await near.allAttached()
                let (ping, pong) = (a.frame(to: TestFrame.broadcast), b.frame(to: a.mac))
                try await a.send(ping)
                try await b.receive(ping)
                try await b.send(pong)
                try await a.receive(pong)
                try await lan.stop()
                try await near.waitUntil("the end is noticed") {
                    (try? $0.port("uplink").state) == .connecting
                }
            }
            try await near.stop()
            #expect(!FileManager.default.fileExists(atPath: near.socket("uplink.sock")))
        }

        @Test
        func `a machine that breaks the stream loses its connection alone, with the reason`()
            async throws
        {
            let (lan, a, b) = try await pair(SwitchProcess.port("bad", "stream"))
            let acts: [(bytes: [UInt8], reason: String)] = [
                ([0xFF, 0xFF, 0xFF, 0xFF, 1, 2], "desynchronised"),
                ([0, 0, 0, 0], "no bytes"),
                ([0, 0, 5, 0xEA] + Array(repeating: 0, count: 100), "amid a frame"),
                ([0, 0], "amid a frame"),
            ]
            for (index, act) in acts.enumerated() {
                let bad = try lan.streamPeer("bad", 66)
                try await lan.allAttached(["bad"])
                try await bad.send(raw: act.bytes)
                if act.reason == "amid a frame" { bad.shutDown() }
                let report = try await lan.waitUntil("its end is told") {
                    guard let port = try? $0.port("bad") else { return false }
                    return port.state == .listening
                        && port.counters.peerFaults == UInt64(index + 1)
                }
                let error = try report.port("bad").lastError ?? ""
                #expect(error.contains(act.reason), "\(error)")
                if act.reason != "amid a frame" { try await bad.waitForEnd() }
            }
            try await expectTraffic(a, b)
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test
        func `slow, silent and chattering machines disturb nobody`() async throws {
            let (lan, a, b) = try await pair(
                SwitchProcess.port("slow", "stream") + SwitchProcess.port("deaf", "stream")
                    + SwitchProcess.port("tiny", "stream"))
            let slow = try lan.streamPeer("slow", 66)
            let deaf = try lan.streamPeer("deaf", 67)
            let tiny = try lan.streamPeer("tiny", 68)
            try await lan.allAttached()
            try await deaf.send(deaf.frame(to: TestFrame.broadcast))
            // One that begins a frame and never ends it.
            try await slow.send(raw: [0, 0, 2, 0, 1])
            // One that sends frames of a byte, and one frame too long for its port.
            try await tiny.send(raw: (0..<50_000).flatMap { _ in [0, 0, 0, 1, 9] as [UInt8] })
            try await tiny.send(tiny.frame(to: a.mac, length: 4000))
            // One that reads nothing of a megabyte.
            let flood = a.frame(to: deaf.mac, length: 1514)
            for _ in 0..<8000 { try await a.send(flood) }
            try await expectTraffic(a, b)

            // One that was cut off waits for as long as nobody reads.
            let report = try await lan.waitUntil("frames for the deaf expire") {
                $0.totals.unaccountedFrames == 0 && $0.totals.queuedFrames <= 1
            }
            #expect(try report.port("tiny").drops("runt") == 50_000)
            #expect(try report.port("tiny").drops("oversize") == 1)
            #expect(try report.port("tiny").state == .attached)
            #expect(try report.port("slow").state == .attached)
            let lost = try report.port("deaf").counters.droppedFrames
            #expect(lost > 0 && lost < 8000)
            #expect(try report.port("deaf").state == .attached)
            // What it was sent in part is finished when it reads at last.
            for _ in 0..<(8000 - Int(lost)) {
                #expect(try await deaf.receive(from: a.mac) == flood)
            }
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test
        func `users that are not allowed, and clients that do not greet, are refused`() async throws
        {
            let lan = try await SwitchProcess(
                SwitchProcess.port("vm", "stream", "allow_uids = [54321]")
                    + SwitchProcess.port("hk", "vpnkit"))
            let vm = try lan.streamPeer("vm", 1)
            try await vm.waitForEnd()
            let hk = try lan.streamPeer("hk", 2, .vpnkit)
            try await hk.send(raw: Array(repeating: 7, count: 49))
            try await hk.waitForEnd()
            let report = try await lan.status()
            #expect(try report.port("vm").lastError?.contains("allow_uids") == true)
            #expect(try report.port("hk").lastError?.contains("vpnkit") == true)
            #expect(try report.port("hk").counters.peerFaults == 1)
            try await lan.stop()
        }

        @Test
        func `a changed queue and mode leave the machine attached`() async throws {
            let (lan, a, b) = try await pair()
            let set = try await lan.command(
                "port", "set", "b", "queue_bytes=1MiB", "mode=0600", "send_buffer=256KiB")
            #expect(set.isSuccess, "\(set.standardError)")
            try await expectTraffic(a, b)
            let attributes = try FileManager.default.attributesOfItem(atPath: lan.socket("b.sock"))
            #expect(attributes[.posixPermissions] as? Int == 0o600)
            // The file is removed: it is made again, and the machine stays.
            try FileManager.default.removeItem(atPath: lan.socket("b.sock"))
            try await lan.waitUntil("the socket is back") { _ in
                FileManager.default.fileExists(atPath: lan.socket("b.sock"))
            }
            try await expectTraffic(a, b)
            try await lan.stop()
        }
    }

    /// Two QEMU guests on `-netdev stream`: one connects to its port, the other is connected to.
    @Suite("Real VMs on streams", .enabled(if: Guest.isAvailable, "\(Guest.requirement)"))
    struct RealVMsOnStreams {
        private static let configuration = """
            [[port]]
            name = "client"
            type = "stream"

            [[port]]
            name = "server"
            type = "stream"
            connect = "guest.sock"
            """

        @Test
        func `guests talk, one is killed and comes back, and the switch is restarted`()
            async throws
        {
            let directory = try TemporaryDirectory()
            var lan = try await SwitchProcess(Self.configuration, in: directory)
            let client = Guest.Network.stream(to: lan.socket("client.sock"))
            let first = try Guest(number: 1, network: .listening(lan.socket("guest.sock")))
            var second = try Guest(number: 2, network: client)
            try await first.isUp()
            try await second.isUp()
            try await first.ping(second.address)
            let transfer = try await first.transfer(16 << 20, to: second.address)
            print("stream: \(Int(transfer.megabitsPerSecond)) Mbit/s between emulated guests")
            _ = try await second.transfer(4 << 20, to: first.address)
            #expect(try await lan.port("client").peer?.pid == second.machine.pid)

            try await second.kill()
            second = try Guest(number: 2, network: client)
            try await second.isUp()
            try await first.ping(second.address)
            _ = try await second.transfer(4 << 20, to: first.address)
            try await lan.expectExactBooks()

            try await lan.stop()
            lan = try await SwitchProcess(Self.configuration, in: directory)
            if !Guest.connectsAgain {
                try await second.kill()
                second = try Guest(number: 2, network: client)
                try await second.isUp()
            }
            try await lan.allAttached()
            try await first.ping(second.address)
            _ = try await first.transfer(4 << 20, to: second.address)
            try await first.kill()
            try await second.kill()
            try await lan.expectExactBooks()
            try await lan.stop()
        }
    }
}
