// A switch that is replaced, with a peer on every sort of port: streams in the middle of a frame,
// machines that share a path, ports that have connected.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// `run --takeover`: every sort of port.
    @Suite("Takeover of ports")
    struct TakeoverOfPorts {
        /// Replaces a switch and waits for its end.
        private func replace(_ lan: SwitchProcess) async throws -> SwitchProcess {
            let next = try await SwitchProcess(takingOver: lan)
            #expect(await lan.process.ending() == .exited(0))
            return next
        }

        @Test func `a stream goes on in the middle of a frame, from and to its machine`()
            async throws
        {
            var lan = try await SwitchProcess(
                SwitchProcess.port(
                    "a", "stream",
                    "queue_delay = \"10s\"\nsend_buffer = \"16KiB\"\nqueue = \"fifo\"")
                    + SwitchProcess.port("b", "stream") + SwitchProcess.port("free", "stream"))
            let (a, b) = (try lan.streamPeer("a", 1), try lan.streamPeer("b", 2))
            try await lan.allAttached(["a", "b"])
            try await a.send(a.frame(to: TestFrame.broadcast))
            _ = try await b.receive()

            // b is amid a frame whenever the switch is replaced; a leaves more frames unread than
            // its socket holds, so that one of them is cut off where that is full. It reads those
            // before them, as none may wait for ten seconds.
            let count: UInt32 = 120
            let unread = 20
            let frames = (0..<count).map { b.frame(to: a.mac, number: $0, length: 1400) }
            let bytes = frames.flatMap { b.encoded($0) }
            let cuts = [0, 1, 5000, 60_003, 121_234, bytes.count]
            var read = 0
            for (start, end) in zip(cuts, cuts.dropFirst()) {
                try await b.send(raw: Array(bytes[start..<end]))
                guard end < bytes.count else { break }
                lan = try await replace(lan)
                while read < end / b.encoded(frames[0]).count - unread {
                    #expect(try await a.receive() == frames[read])
                    read += 1
                }
            }
            try await lan.waitUntil("all have come") {
                (try? $0.port("b").counters.receivedFrames) ?? 0 >= UInt64(count)
            }
            lan = try await replace(lan)
            for frame in frames[read...] { #expect(try await a.receive() == frame) }

            let report = try await lan.status()
            #expect(report.totals.droppedFrames == 0, "\(report.totals.drops)")
            #expect(try report.port("free").state == .listening)
            // And back, by way of the successor alone; then the free port takes a machine.
            let back = a.frame(to: b.mac, number: 9, length: 900)
            try await a.send(back)
            #expect(try await b.receive() == back)
            let third = try lan.streamPeer("free", 3)
            try await lan.allAttached()
            try await third.send(third.frame(to: a.mac))
            _ = try await a.receive(from: third.mac)
            b.shutDown()
            try await lan.waitUntil("b is free") {
                (try? $0.port("b").state) == .listening
            }
            try await lan.stop()
            #expect(!lan.exists("a.sock") && !lan.exists("free.sock"))
        }

        @Test func `machines on packets and of vpnkit stay, one that still greets comes back`()
            async throws
        {
            let uuid = "0f4ba5c3-0b0c-4b9e-8d23-3d1c3a2b5c11"
            let lan = try await SwitchProcess(
                SwitchProcess.port("uml", "seqpacket") + SwitchProcess.port("hyperkit", "vpnkit")
                    + SwitchProcess.port("late", "vpnkit"))
            let uml = try lan.streamPeer("uml", 1, .seqpacket)
            let hyperkit = try lan.streamPeer("hyperkit", 2, .vpnkit)
            let reply = try await hyperkit.shakeHands(uuid: uuid)
            let late = try lan.streamPeer("late", 3, .vpnkit)
            try await late.send(raw: Array("VMN3T".utf8))
            try await lan.allAttached(["uml", "hyperkit"])
            let next = try await replace(lan)
            try await late.waitForEnd()
            let again = try next.streamPeer("late", 3, .vpnkit)
            #expect(try await again.shakeHands(uuid: uuid).prefix(11) != reply.prefix(11))
            try await next.allAttached()
            let machines = [uml, hyperkit, again]
            for machine in machines {
                let hello = machine.frame(to: TestFrame.broadcast, length: 300)
                try await machine.send(hello)
                for other in machines where other !== machine { try await other.receive(hello) }
            }
            try await next.expectExactBooks()
            try await next.stop()
        }

        @Test func `machines of one path stay, those that share a socket as well, and others come`()
            async throws
        {
            let lan = try await SwitchProcess(
                SwitchProcess.port(
                    "vm-{n}", "unixgram", "count = 5\npath = \"vms.sock\"\nshared = true")
                    + SwitchProcess.port(
                        "q-{n}", "stream", "count = 2\npath = \"qs.sock\"\nshared = true"))
            func machine(_ number: Int) throws -> Peer {
                try Peer(
                    mac: SwitchProcess.mac(number), own: lan.socket("own-\(number).sock"),
                    port: lan.socket("vms.sock"))
            }
            // One has a socket to itself, two have met in one instant.
            var peers = [try machine(1)]
            try await lan.allAttached(["vm-1"])
            try await lan.process.pause()
            peers += [try machine(2), try machine(3)]
            lan.process.resume()
            try await lan.allAttached(["vm-2", "vm-3"])
            let qemu = try lan.streamPeer("qs", 9)
            try await lan.allAttached(["q-1"])
            try await Peer.introduce(peers)

            // What those behind the relay send meanwhile waits for the successor.
            let sender = peers[1].stream(to: peers[2])
            var next = lan
            for _ in 0..<2 {
                next = try await replace(next)
                try await next.waitUntilSent(40, by: peers[1])
            }
            sender.cancel()
            #expect(try await sender.value >= 80)
            let report = try await next.status()
            #expect(report.totals.drops["foreign"] == nil, "\(report.totals.drops)")
            #expect(
                report.ports.map(\.state)
                    == [.attached, .attached, .attached, .listening, .listening, .attached]
                    + [.listening])
            try await Peer.introduce(peers)
            peers.append(try machine(4))
            let second = try next.streamPeer("qs", 10)
            try await next.allAttached(["vm-4", "q-2"])
            try await Peer.introduce(peers)
            try await qemu.send(qemu.frame(to: second.mac, number: 4))
            try await second.receive(qemu.frame(to: second.mac, number: 4))

            // Whoever leaves makes room, of either kind.
            peers[0].shutDown()
            peers[1].shutDown()
            try await next.waitUntil("they are gone") {
                $0.ports[0].state == .listening && $0.ports[1].state == .listening
            }
            let newcomer = try machine(5)
            try await next.allAttached(["vm-1"])
            try await Peer.introduce([peers[2], peers[3], newcomer])
            try await next.stop()
            #expect(!next.exists("vms.sock") && !next.exists("qs.sock"))
        }

        @Test func `ports that have connected stay connected, those that try go on trying`()
            async throws
        {
            let far = try TemporaryDirectory()
            let other = try await SwitchProcess(
                SwitchProcess.port("b", "stream") + SwitchProcess.port("down", "unixgram"), in: far)
            let lan = try await SwitchProcess(
                SwitchProcess.port("a", "stream")
                    + SwitchProcess.port(
                        "uplink", "unixgram", "connect = \"\(far.file("down.sock"))\"")
                    + SwitchProcess.port("up", "stream", "connect = \"up.sock\"")
                    + SwitchProcess.port("later", "stream", "connect = \"later.sock\""))
            let a = try lan.streamPeer("a", 1)
            let b = try StreamPeer(mac: SwitchProcess.mac(2), port: far.file("b.sock"))
            let up = try await StreamPeer.accepting(
                .stream, mac: SwitchProcess.mac(3), at: lan.socket("up.sock"))
            try await lan.allAttached(["a", "uplink", "up"])
            try await other.allAttached()
            let before = try await other.port("down")

            let next = try await replace(lan)
            for from in [a, b, up] {
                let hello = from.frame(to: TestFrame.broadcast, number: 3, length: 500)
                try await from.send(hello)
                for to in [a, b, up] where to !== from { try await to.receive(hello) }
            }
            #expect(try await other.port("down").peer == before.peer)
            #expect(try await other.port("down").counters.handshakes == 1)
            let later = try await StreamPeer.accepting(
                .stream, mac: SwitchProcess.mac(4), at: next.socket("later.sock"))
            try await next.allAttached()
            try await later.send(later.frame(to: a.mac))
            _ = try await a.receive(from: later.mac)
            // The end of the other switch is noticed as ever.
            try await other.stop()
            try await next.waitUntil("the uplink tries again") {
                (try? $0.port("uplink").state) == .connecting
            }
            try await next.stop()
            #expect(!next.exists("uplink.sock"))
        }

        @Test func `a stream by descriptor goes on in the middle of a frame`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.port("b", "stream"))
            let b = try lan.streamPeer("b", 2)
            var ends: [Int32] = [-1, -1]
            try #require(
                socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends)
                    == 0)
            let a = StreamPeer(.stream, mac: SwitchProcess.mac(1), adopting: ends[1])
            try await lan.give(ends[0], to: "own", ["type": "stream"])
            close(ends[0])
            try await lan.allAttached()
            try await b.send(b.frame(to: TestFrame.broadcast))
            _ = try await a.receive()
            let frame = a.frame(to: b.mac, number: 3, length: 1000)
            let bytes = a.encoded(frame)
            try await a.send(raw: Array(bytes[..<17]))
            let next = try await replace(lan)
            try await a.send(raw: Array(bytes[17...]))
            #expect(try await b.receive() == frame)
            a.shutDown()
            try await next.waitUntil("its port goes") {
                $0.ports.map(\.name) == ["b"]
            }
            try await next.stop()
        }
    }
}
