// The habits of clients at a unixgram port, call by call: attaching, dying, coming back, intruding.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// libkrun's and QEMU's ways of being attached to a port.
    @Suite("Clients")
    struct Clients {
        @Test
        func `libkrun's frames of every kind reach whom they are for`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b", "c", "d"]))
            let peers = try ["a", "b", "c", "d"].enumerated().map { try lan.peer($1, $0) }
            try await lan.allAttached()
            try await Peer.introduce(peers)
            let (a, others) = (peers[0], peers.dropFirst())

            let unicast = a.frame(to: peers[1].mac, number: 1)
            let flooded = [
                TestFrame.broadcast, "33:33:00:00:00:01", "01:00:5e:00:00:fb", "02:00:00:00:00:99",
            ].enumerated().map { a.frame(to: $1, number: UInt32(10 + $0)) }
            let marker = a.frame(to: TestFrame.broadcast, number: 99)
            for frame in [unicast] + flooded + [marker] { try a.send(frame) }
            for peer in others {
                let expected = peer === peers[1] ? [unicast] + flooded : flooded
                #expect(try await peer.frames(before: marker) == expected, "\(peer.mac)")
            }

            let report = try await expectBooks(lan, of: peers)
            // A flood to three ports is two more frames than came in.
            let greetings = report.ports.map(\.counters.handshakes)
            #expect(greetings == [1, 1, 1, 1])
            // Only what was said while nobody else was there may be lost.
            let alone = report.totals.drops["no_eligible_port"] ?? 0
            #expect(report.totals.droppedFrames == alone)
            try await lan.stop()
        }

        @Test
        func `frames sent at once after the greeting arrive in order`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let b = try lan.peer("b", 1)
            try await lan.allAttached(["b"])
            for mac in [2, 3, 4, 5, 6] {
                let a = try lan.peer("a", mac)
                let frames = (0..<200).map { a.frame(to: TestFrame.broadcast, number: $0) }
                for frame in frames { try a.send(frame) }
                var received = try await b.frames(before: frames[199])
                received.append(frames[199])
                #expect(received == frames)
                a.shutDown()
                // It is noticed by the next frame that it does not take.
                try b.send(b.frame(to: a.mac))
                try await lan.waitUntil("a listens again") {
                    $0.ports[0].state == .listening
                }
            }
            try await lan.stop()
        }

        @Test(arguments: [Peer.Manner.libkrun, .qemu])
        func `a client that does not greet is taken by its first frame`(
            manner: Peer.Manner
        ) async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let a = try lan.peer("a", 0, manner, greets: false)
            let b = try lan.peer("b", 1, manner, greets: false)
            for peer in [a, b] { try peer.send(peer.frame(to: TestFrame.broadcast)) }
            try await lan.allAttached()
            try await Peer.introduce([a, b])
            // More than the eleven datagrams that a port without a connection would hold.
            for number in 0..<100 {
                try a.send(a.frame(to: b.mac, number: UInt32(number)))
                #expect(try await b.receive() == a.frame(to: b.mac, number: UInt32(number)))
                try b.send(b.frame(to: a.mac, number: UInt32(number)))
                #expect(try await a.receive() == b.frame(to: a.mac, number: UInt32(number)))
            }
            let report = try await expectBooks(lan, of: [a, b])
            #expect(report.ports.allSatisfy { $0.counters.handshakes == 0 })
            #expect(report.ports.map(\.peer?.pid) == [getpid(), getpid()])
            #expect(report.ports.map(\.peer?.uid) == [getuid(), getuid()])
            #expect(report.ports.map(\.peer?.address) == [a.ownPath, b.ownPath])
            try await lan.stop()
        }

        @Test
        func `QEMU's machine and libkrun's talk to each other`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["qemu", "krun"]))
            let qemu = try lan.peer("qemu", 0, .qemu)
            let krun = try lan.peer("krun", 1)
            try qemu.send(qemu.frame(to: TestFrame.broadcast))
            try await lan.allAttached()
            try await Peer.introduce([qemu, krun])
            let question = qemu.frame(to: krun.mac, number: 1)
            let answer = krun.frame(to: qemu.mac, number: 2)
            try qemu.send(question)
            #expect(try await krun.receive() == question)
            try krun.send(answer)
            #expect(try await qemu.receive() == answer)
            try await expectBooks(lan, of: [qemu, krun])
            try await lan.stop()
        }

        @Test
        func `a killed machine's port is free for its successor under a new path`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["vm", "other"]))
            let other = try lan.peer("other", 200)
            try await lan.allAttached(["other"])
            var addresses: Set<String> = []
            var delays: [Duration] = []
            for life in 0..<5 {
                let words = "port=\(lan.socket("vm.sock")) own=\(lan.socket("life-\(life)")) "
                let machine = try await LoadGenerator.listening([
                    words + "mac=\(SwitchProcess.mac(1)) magic=yes"
                ])
                try await lan.allAttached()
                let port = try await lan.port("vm")
                #expect(port.peer?.pid == machine.process.pid)
                #expect(port.peer?.command == "loadgen")
                addresses.insert(try #require(port.peer?.address))

                // The address is where it was: the switch knows it again without asking anybody.
                let sent = port.counters.sentFrames
                try other.send(other.frame(to: SwitchProcess.mac(1)))
                try await lan.waitUntil("the frame is delivered") {
                    $0.ports[0].counters.sentFrames > sent
                }
                let killed = ContinuousClock.now
                machine.process.kill()
                try await lan.waitUntil("the port is free") {
                    $0.ports[0].state == .listening && $0.ports[0].peer == nil
                }
                delays.append(ContinuousClock.now - killed)
            }
            #expect(addresses.count == 5)
            #expect(try await lan.port("vm").counters.handshakes == 5)
            // The end of the process tells, and not the question that is asked every few seconds.
            #expect(delays.sorted()[2] < .seconds(1), "\(delays)")
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test
        func `a socket that its living process closes frees the port on a silent LAN`()
            async throws
        {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a"]))
            let first = try lan.peer("a", 0)
            try await lan.allAttached()
            first.shutDown()
            try await lan.waitUntil("the port is free") {
                $0.ports[0].state == .listening
            }
            let second = try lan.peer("a", 1)
            #expect(try await lan.allAttached().ports[0].peer?.address == second.ownPath)
            try await lan.stop()
        }

        @Test
        func `machines that die as soon as they came wear no port out`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let b = try lan.peer("b", 201)
            try await lan.allAttached(["b"])
            for life in 0..<100 {
                let peer = try await comeIn(lan, life, beside: b)
                try peer.send(peer.frame(to: TestFrame.broadcast))
                peer.shutDown()
            }
            // The last of them is noticed as the others were, and one that stays is served.
            let last = try await comeIn(lan, 100, beside: b)
            try await Peer.introduce([last, b])
            // What a dead machine had sent is gone with its socket or counted, so only the switch's
            // own books can be exact.
            try await lan.expectExactBooks()
            #expect(try await lan.port("a").peer?.address == last.ownPath)
            try await lan.stop()
        }

        /// A peer on port `a` as soon as the kernel lets it in: frames of `other` tell the switch
        /// that its predecessor is dead.
        private func comeIn(_ lan: SwitchProcess, _ life: Int, beside other: Peer) async throws
            -> Peer
        {
            let deadline = ContinuousClock.now + .patience
            while true {
                do {
                    return try Peer(
                        mac: SwitchProcess.mac(life), own: lan.socket("life-\(life)"),
                        port: lan.socket("a.sock"))
                } catch let refusal as Peer.Refusal where refusal.code == EPERM {
                    guard ContinuousClock.now < deadline else { throw refusal }
                    try other.send(other.frame(to: TestFrame.broadcast))
                    _ = await lan.process.ending(within: .milliseconds(1))
                }
            }
        }

        @Test
        func `a greeting that is repeated does nothing`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let (a, b) = (try lan.peer("a", 0), try lan.peer("b", 1))
            try await lan.allAttached()
            try await Peer.introduce([a, b])
            let since = try await lan.port("a").since
            for _ in 0..<100 { try a.send(Array("VFKT".utf8)) }
            // A frame to an address that begins with these letters is a frame.
            let marker = a.frame(to: "56:46:4b:54:00:01", number: 1)
            try a.send(marker)
            #expect(try await b.frames(before: marker) == [])
            let port = try await lan.port("a")
            #expect(port.state == .attached && port.since == since)
            #expect(port.counters.handshakes - 1 + port.drops("runt") == 100)
            try await expectBooks(lan, of: [a, b])
            try await lan.stop()
        }

        @Test
        func `a client without a path is refused and told how to do better`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a"]))
            let stranger = try lan.peer("a", 0, .unbound)
            for _ in 0..<3 { try stranger.send(stranger.frame(to: TestFrame.broadcast)) }
            let line = try await lan.process.line(
                containing: "has no path of its own")
            #expect(line.contains("\(getpid())"), "\(line)")
            let refused = try await lan.waitUntil("it is counted") {
                $0.ports[0].counters.receivedFrames == 3
            }.ports[0]
            #expect(refused.state == .listening && refused.drops("foreign") == 3)
            #expect(refused.lastError?.contains("has no path of its own") == true)
            // It does not stand in the way of a better one.
            let a = try lan.peer("a", 1)
            try await lan.allAttached()
            #expect(try await lan.port("a").lastError == nil)
            #expect(throws: Peer.Refusal(call: "send", code: EPERM)) {
                try stranger.send(stranger.frame(to: TestFrame.broadcast))
            }
            withExtendedLifetime(a) {}
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test
        func `a second client of a taken port is refused by the kernel`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let (a, b) = (try lan.peer("a", 0), try lan.peer("b", 1))
            try await lan.allAttached()
            try await Peer.introduce([a, b])
            #expect(throws: Peer.Refusal(call: "connect", code: EPERM)) { try lan.peer("a", 2) }
            let sender = try lan.peer("a", 3, .qemu)
            #expect(throws: Peer.Refusal(call: "send", code: EPERM)) {
                try sender.send(sender.frame(to: TestFrame.broadcast))
            }
            let marker = a.frame(to: b.mac, number: 7)
            try a.send(marker)
            #expect(try await b.frames(before: marker) == [])
            try await expectBooks(lan, of: [a, b])
            try await lan.stop()
        }

        @Test
        func `frames of a second source that waited at the handshake are foreign`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let b = try lan.peer("b", 1)
            try await lan.allAttached(["b"])
            // A switch that stands still finds both in its queue when it goes on.
            try await lan.process.pause()
            let first = try lan.peer("a", 2)
            let second = try lan.peer("a", 3)
            let frames = (0..<2).map { first.frame(to: TestFrame.broadcast, number: $0) }
            try first.send(frames[0])
            for number in 0..<3 {
                try second.send(second.frame(to: TestFrame.broadcast, number: UInt32(number)))
            }
            try first.send(frames[1])
            lan.process.resume()

            #expect(try await b.frames(before: frames[1]) == [frames[0]])
            try await lan.process.line(containing: "second peer")
            let port = try await lan.port("a")
            #expect(port.peer?.address == first.ownPath)
            #expect(port.drops("foreign") == 3)
            #expect(port.counters.handshakes == 2)
            #expect(throws: Peer.Refusal.self) {
                try second.send(second.frame(to: TestFrame.broadcast))
            }
            #expect(try await b.frames(before: marker(from: first)) == [])
            try await expectBooks(lan, of: [first, second, b])
            try await lan.stop()
        }

        /// A last frame of `peer` to everybody, already sent.
        private func marker(from peer: Peer) throws -> TestFrame {
            let marker = peer.frame(to: TestFrame.broadcast, number: .max)
            try peer.send(marker)
            return marker
        }

        /// Exact books with what these peers sent, and read.
        @discardableResult
        private func expectBooks(
            _ lan: SwitchProcess, of peers: [Peer],
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws -> StatusReport {
            try await lan.expectExactBooks(
                sent: peers.reduce(0) { $0 + $1.sentFrames },
                received: peers.reduce(0) { $0 + $1.receivedFrames },
                sourceLocation: sourceLocation)
        }
    }
}
