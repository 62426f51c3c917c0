// Variants of the known clients, byte for byte and in their order: with offloads, with and without
// a greeting, by path and by descriptor, and across a restart of the switch.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// What clients of one kind may be told to do.
    @Suite("Client variants")
    struct ClientVariants {
        /// libkrun's frames with offloads: its buffer of 65562 bytes less its own header.
        private static let longest = 65_550

        /// Has each of them say something, by which those that did not greet are attached.
        private func begin(_ peers: [Peer], _ lan: SwitchProcess) async throws {
            for peer in peers { try peer.send(peer.frame(to: TestFrame.broadcast)) }
            try await lan.allAttached()
            try await Peer.introduce(peers)
        }

        @Test
        func `libkrun with offloads sends its longest frames by path and by descriptor`()
            async throws
        {
            let ports = ["greeting", "silent"].map {
                "[[port]]\nname = \"\($0)\"\ntype = \"unixgram\"\noffload = \"raw\"\n"
            }
            let lan = try await SwitchProcess(ports.joined())
            let peers = [
                try lan.peer("greeting", 1), try lan.peer("silent", 2, greets: false),
                try await lan.pairedPeer("fd", 3, ["offload": "raw"]),
            ]
            try await begin(peers, lan)
            #expect(try await lan.status().ports.map(\.counters.handshakes) == [1, 0, 0])
            for (from, peer) in peers.enumerated() {
                for (to, other) in peers.enumerated() where to != from {
                    for number in 0..<20 {
                        let frame = peer.frame(
                            to: other.mac, number: UInt32(number), length: Self.longest - number)
                        try peer.send(frame)
                        #expect(try await other.receive() == frame)
                    }
                }
            }
            try await lan.expectExactBooks(
                sent: peers.reduce(0) { $0 + $1.sentFrames },
                received: peers.reduce(0) { $0 + $1.receivedFrames })
            try await lan.stop()
        }

        /// libkrun's unixstream: a send buffer of 16 MiB, frames behind their length in one write
        /// that is finished later where it was cut, length and frame read apart.
        @Test
        func `libkrun by stream sends its longest frames both ways at once`() async throws {
            let keys = "offload = \"raw\"\nqueue_bytes = \"64MiB\"\nqueue_delay = \"10s\""
            let lan = try await SwitchProcess(
                ["a", "b"].map { SwitchProcess.port($0, "stream", keys + "\nqueue = \"fifo\"") }
                    .joined())
            let (a, b) = (try lan.streamPeer("a", 1), try lan.streamPeer("b", 2))
            try await lan.allAttached()
            for (peer, other) in [(a, b), (b, a)] {
                peer.ask(forSendBuffer: 16 << 20)
                let hello = peer.frame(to: other.mac)
                try await peer.send(hello)
                try await other.receive(hello)
            }
            func exchange(_ from: StreamPeer, _ to: StreamPeer) async throws {
                let frames = (0..<200).map {
                    from.frame(to: to.mac, number: UInt32($0), length: Self.longest - $0 * 7)
                }
                async let sending: Void = from.send(raw: frames.flatMap { from.encoded($0) })
                for frame in frames { #expect(try await to.receive() == frame) }
                try await sending
            }
            async let forth: Void = exchange(a, b)
            async let back: Void = exchange(b, a)
            _ = try await (forth, back)
            let report = try await lan.expectExactBooks()
            #expect(report.totals.droppedFrames == 0, "\(report.totals.drops)")
            try await lan.stop()
        }

        @Test(arguments: [true, false])
        func `vfkit attaches beside its port, and its file goes with it`(
            greets: Bool
        ) async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["vm", "other"]))
            let other = try lan.peer("other", 200)
            for life in 1...3 {
                let own = lan.socket("vfkit-\(String(life, radix: 16))-00c0ffee00c0ffee.sock")
                let vm = try Peer(
                    .vfkit, mac: SwitchProcess.mac(1), own: own, port: lan.socket("vm.sock"),
                    greets: greets)
                if !greets { try vm.send(vm.frame(to: TestFrame.broadcast)) }
                try await lan.allAttached()
                try await Peer.introduce([vm, other])
                #expect(try await lan.port("vm").peer?.address == own)
                vm.shutDown()
                unlink(own)
                try await lan.waitUntil("the port is free") {
                    $0.ports[0].state == .listening
                }
            }
            #expect(try await lan.port("vm").counters.handshakes == (greets ? 3 : 0))
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test
        func `QEMU by path outlives a restart of the switch`() async throws {
            let directory = try TemporaryDirectory()
            let ports = SwitchProcess.ports(["a", "b"])
            let first = try await SwitchProcess(ports, in: directory)
            let peers = [try first.peer("a", 1, .qemu), try first.peer("b", 2, .qemu)]
            try await begin(peers, first)
            try await first.stop()
            // QEMU drops what it cannot send, and says nothing.
            for peer in peers {
                #expect(throws: Peer.Refusal(call: "send", code: ENOENT)) {
                    try peer.send(peer.frame(to: TestFrame.broadcast))
                }
            }
            let second = try await SwitchProcess(ports, in: directory)
            try await begin(peers, second)
            let question = peers[0].frame(to: peers[1].mac, number: 1)
            try peers[0].send(question)
            #expect(try await peers[1].receive() == question)
            let report = try await second.allAttached()
            #expect(report.ports.map(\.peer?.address) == peers.map(\.ownPath))
            try await second.stop()
        }
    }
}
