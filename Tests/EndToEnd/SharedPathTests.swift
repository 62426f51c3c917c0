// Many VMs at one path: whoever comes gets a port of its own, also when all come in one instant.

import Control
import Dispatch
import Foundation
import Glibc
import Synchronization
import Testing

extension EndToEnd {
    /// `shared = true`.
    @Suite("A shared path")
    struct SharedPath {
        private static func configuration(_ count: Int) -> String {
            """
            [[port]]
            name = "vm-{n}"
            count = \(count)
            type = "unixgram"
            path = "vms.sock"
            shared = true
            """
        }

        /// A libkrun VM at the shared path.
        private func machine(_ lan: SwitchProcess, _ number: Int, life: Int = 0) throws -> Peer {
            try Peer(
                mac: SwitchProcess.mac(number), own: lan.socket("own-\(number)-\(life).sock"),
                port: lan.socket("vms.sock"))
        }

        /// Looks at a path all the time.
        private final class Watch: Sendable {
            let isOver = Atomic(false)
            let gaps = Atomic(0)
        }

        /// Machines that come all at once, each from a thread of its own.
        private func storm(
            _ lan: SwitchProcess, _ numbers: [Int], life: Int = 0
        ) async throws -> [Peer] {
            let results = Mutex([(Int, Result<Peer, any Error>)]())
            await withCheckedContinuation { continuation in
                DispatchQueue.global().async {
                    DispatchQueue.concurrentPerform(iterations: numbers.count) { index in
                        let result = Result {
                            try machine(lan, numbers[index], life: life)
                        }
                        results.withLock { $0.append((index, result)) }
                    }
                    continuation.resume()
                }
            }
            return try results.withLock { $0.sorted { $0.0 < $1.0 } }.map { try $0.1.get() }
        }

        /// Demands that every machine reaches every other one, and nobody hears another's frames.
        private func expectAllReached(_ peers: [Peer]) async throws {
            try await Peer.introduce(peers)
            for (from, peer) in peers.enumerated() {
                for (to, other) in peers.enumerated() where to != from {
                    try peer.send(peer.frame(to: other.mac, number: UInt32(100 * from + to)))
                }
            }
            for (to, other) in peers.enumerated() {
                var numbers: Set<UInt32> = []
                for _ in 1..<peers.count {
                    let bytes = try await other.receive().bytes
                    numbers.insert(bytes[14..<18].reduce(0) { $0 << 8 | UInt32($1) })
                }
                let expected = Set(
                    peers.indices.filter { $0 != to }.map { UInt32(100 * $0 + to) })
                #expect(numbers == expected, "machine \(to)")
            }
        }

        @Test
        func `machines that come one after the other get a port each, and free it`() async throws {
            let lan = try await SwitchProcess(Self.configuration(3))
            var peers: [Peer] = []
            for number in 0..<3 {
                peers.append(try machine(lan, number))
                try await lan.allAttached(["vm-\(number + 1)"])
            }
            let report = try await lan.status()
            #expect(report.ports.map(\.peer?.address) == peers.map(\.ownPath))
            #expect(report.ports.map(\.peer?.pid) == [getpid(), getpid(), getpid()])
            #expect(report.ports.map(\.counters.handshakes) == [1, 1, 1])
            try await expectAllReached(peers)
            try await lan.expectExactBooks(
                sent: peers.reduce(0) { $0 + $1.sentFrames },
                received: peers.reduce(0) { $0 + $1.receivedFrames })

            peers[1].shutDown()
            try await lan.waitUntil("the place is free") {
                $0.ports[1].state == .listening
            }
            peers[1] = try machine(lan, 7)
            #expect(try await lan.allAttached().ports[1].peer?.address == peers[1].ownPath)
            try await expectAllReached(peers)
            try await lan.stop()
        }

        @Test
        func `sixteen machines that come in one instant are all served, and none hears another's`()
            async throws
        {
            let lan = try await SwitchProcess(Self.configuration(16))
            // A switch that stands still finds all of them at one socket.
            try await lan.process.pause()
            let first = try (0..<6).map { try machine(lan, $0) }
            lan.process.resume()
            let peers = first + (try await storm(lan, Array(6..<16)))
            let report = try await lan.allAttached()
            #expect(Set(report.ports.map(\.peer?.address)) == Set(peers.map(\.ownPath)))
            try await expectAllReached(peers)
            try await lan.expectExactBooks(
                sent: peers.reduce(0) { $0 + $1.sentFrames },
                received: peers.reduce(0) { $0 + $1.receivedFrames })
            try await lan.stop()
        }

        @Test
        func `a storm of machines that come and go loses none, and the path always leads on`()
            async throws
        {
            let lan = try await SwitchProcess(Self.configuration(16))
            let path = lan.socket("vms.sock")
            let watch = Watch()
            DispatchQueue.global().async {
                while !watch.isOver.load(ordering: .relaxed) {
                    if access(path, F_OK) != 0 { watch.gaps.wrappingAdd(1, ordering: .relaxed) }
                }
            }
            defer { watch.isOver.store(true, ordering: .relaxed) }
            var peers = try await storm(lan, Array(0..<16))
            try await lan.allAttached()
            for life in 1...6 {
                let leaving = (0..<16).filter { ($0 * 7 + life) % 3 == 0 }
                for number in leaving { peers[number].shutDown() }
                try await lan.waitUntil("places are free") { report in
                    report.ports.count { $0.state == .listening } == leaving.count
                }
                for (number, peer) in zip(leaving, try await storm(lan, leaving, life: life)) {
                    peers[number] = peer
                }
                let report = try await lan.allAttached()
                #expect(Set(report.ports.map(\.peer?.address)) == Set(peers.map(\.ownPath)))
            }
            try await expectAllReached(peers)
            #expect(watch.gaps.load(ordering: .relaxed) == 0)
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test
        func `a path becomes shared, and a port's own again, by a reload`() async throws {
            let own = "[[port]]\nname = \"vms\"\ntype = \"unixgram\"\n"
            let lan = try await SwitchProcess(own)
            for configuration in [Self.configuration(2), own, Self.configuration(2)] {
                try lan.write(configuration)
                let result = try await lan.command("reload")
                #expect(result.isSuccess, "\(result.standardError)")
            }
            let peers = [try machine(lan, 1)]
            try await lan.allAttached(["vm-1"])
            try await expectAllReached(peers + [try machine(lan, 2)])
            try await lan.stop()
        }

        @Test
        func `a machine without a place waits until one is free`() async throws {
            let lan = try await SwitchProcess(Self.configuration(2))
            let first = try machine(lan, 0)
            try await lan.allAttached(["vm-1"])
            let second = try machine(lan, 1)
            try await lan.allAttached()
            let third = try machine(lan, 2)
            let fourth = try machine(lan, 3)
            first.shutDown()
            try await lan.waitUntil("one that waited has its place") {
                [third.ownPath, fourth.ownPath].contains($0.ports[0].peer?.address)
            }
            second.shutDown()
            try await lan.waitUntil("the other one as well") { report in
                Set(report.ports.map(\.peer?.address)) == [third.ownPath, fourth.ownPath]
            }
            try await expectAllReached([third, fourth])
            try await lan.stop()
        }

        @Test
        func `a sender that does not connect is told so, and stands in nobody's way`()
            async throws
        {
            let lan = try await SwitchProcess(Self.configuration(3))
            let qemu = try Peer(
                .qemu, mac: SwitchProcess.mac(9), own: lan.socket("qemu.sock"),
                port: lan.socket("vms.sock"))
            for number in 0..<3 {
                try qemu.send(qemu.frame(to: TestFrame.broadcast, number: UInt32(number)))
            }
            let line = try await lan.process.line(
                containing: "sends without connecting")
            #expect(line.contains("qemu.sock"), "\(line)")
            let peers = try (0..<2).map { try machine(lan, $0) }
            try await lan.waitUntil("the others are served") { report in
                Set(report.ports.compactMap(\.peer?.address)) == Set(peers.map(\.ownPath))
            }
            try qemu.send(qemu.frame(to: TestFrame.broadcast))
            try await expectAllReached(peers)
            try await lan.waitUntil("its frames are counted") {
                $0.totals.drops["foreign"] == 4
            }
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test(
            .enabled(if: NetworkNamespace.isAvailable, "\(NetworkNamespace.requirement)"))
        func `a machine of another network namespace is served as well`() async throws {
            let lan = try await SwitchProcess(Self.configuration(2))
            let a = try machine(lan, 1)
            try await lan.allAttached(["vm-1"])
            let elsewhere = try NetworkNamespace("shared")
            let script = """
                use Socket;
                socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
                bind($s, pack_sockaddr_un($ARGV[0])) or die "bind: $!";
                connect($s, pack_sockaddr_un($ARGV[1])) or die "connect: $!";
                send($s, "VFKT", 0) or die "send: $!";
                while (1) {
                    recv($s, my $frame, 65536, 0);
                    next unless substr($frame, 0, 6) eq "\\2\\0\\0\\0\\0\\7";
                    send($s, substr($frame, 6, 6) . "\\2\\0\\0\\0\\0\\7" . substr($frame, 12), 0);
                }
                """
            let b = try ChildProcess(
                elsewhere.inside([
                    "perl", "-e", script, lan.socket("elsewhere.sock"), lan.socket("vms.sock"),
                ]))
            try await lan.allAttached()
            try a.send(a.frame(to: "02:00:00:00:00:07"))
            #expect(try await a.receive().source == "02:00:00:00:00:07")
            withExtendedLifetime(b) {}
            try await lan.stop()
        }
    }
}
