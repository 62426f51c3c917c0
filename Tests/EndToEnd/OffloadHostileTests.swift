// A machine that may leave work to others sends what nobody can finish: it is counted by name, no
// port is sent more than it takes, and nobody else is disturbed.

import Control
import Foundation
import Support
import SwitchCore
import Testing

/// A sort of frame that cannot be cut up.
private struct Nonsense: Sendable {
    let name: String
    private let offset: Int
    private let word: UInt16?
    private let change: @Sendable (inout PacketBuilder) -> Void

    /// - Parameters:
    ///   - word: replaces two bytes at `offset` of the finished frame.
    ///   - change: what is different from a TCP segment over IPv4.
    init(
        _ name: String, at offset: Int = 0, _ word: UInt16? = nil,
        change: @escaping @Sendable (inout PacketBuilder) -> Void = { _ in }
    ) {
        self.name = name
        self.offset = offset
        self.word = word
        self.change = change
    }

    func frame(_ length: Int) -> [UInt8] {
        var packet = PacketBuilder()
        packet.destination = .broadcast
        packet.source = MACAddress(rawValue: 0x0200_0000_0042)
        change(&packet)
        packet.payload = KnownBytes.bytes(from: 0, length - packet.headerLength)
        var frame = packet.bytes
        if let word { frame.store(wire: word, at: offset) }
        return frame
    }

    static let all = [
        Nonsense("no known type", at: 12, 0x88B5),
        Nonsense("no IP version", at: 14, 0x5500),
        Nonsense("IPv4 that is longer than its frame", at: 16, 0xFFFF),
        Nonsense("IPv4 that ends in its own header", at: 16, 19),
        Nonsense("IPv4 that ends in the header of TCP", at: 16, 39),
        Nonsense("another protocol", at: 22, 0x4001),
        Nonsense("TCP with a header shorter than any", at: 46, 0x4010),
        Nonsense("TCP with urgent data") { $0.flags = 0x30 },
        Nonsense("TCP with a SYN") { $0.flags = 0x02 },
        Nonsense("UDP") { $0.transport = .udp },
        Nonsense("UDP that lies about its length", at: 38, 9) { $0.transport = .udp },
        Nonsense("a first fragment") { $0.fragment = 0x2000 },
        Nonsense("a last fragment") { $0.fragment = 100 },
        Nonsense("an IPv6 fragment") {
            $0.isIPv6 = true
            $0.extensions = [.init(number: 44, content: [0, 1, 0, 0, 0, 0])]
        },
        Nonsense("three VLAN tags") { $0.tags = Array(repeating: (0x8100, 5), count: 3) },
    ]
}

extension EndToEnd {
    /// A raw port's peer beside ports of every class.
    @Suite("Large nonsense")
    struct LargeNonsense {
        @Test
        func `what cannot be cut up is too big, and what need not be passes`() async throws {
            let lan = try await SwitchProcess(
                Self.port("bad", "raw") + Self.port("raw", "raw") + Self.port("none", "none"))
            let bad = try lan.peer("bad", 0x42)
            let raw = try lan.peer("raw", 1)
            let none = try lan.peer("none", 2)
            try await lan.allAttached()
            try await Peer.introduce([bad, raw, none])

            let lengths = [1519, 9000, 65_535]
            for nonsense in Nonsense.all {
                for length in lengths + [1518] {
                    let frame = nonsense.frame(length)
                    try bad.send(frame)
                    #expect(try await raw.receive().bytes == frame, "\(nonsense.name), \(length)")
                }
                // The short one is all that came by the other port.
                #expect(
                    try await none.receive().bytes == nonsense.frame(1518), "\(nonsense.name)")
            }
            let peers = [bad, raw, none]
            let report = try await lan.expectExactBooks(
                sent: peers.reduce(0) { $0 + $1.sentFrames },
                received: peers.reduce(0) { $0 + $1.receivedFrames })
            let tooBig = UInt64(Nonsense.all.count * lengths.count)
            #expect(report.totals.drops == ["too_big": tooBig])
            #expect(try report.port("none").drops("too_big") == tooBig)
            try await lan.stop()
        }

        @Test(
            .enabled(if: NetworkNamespace.isAvailable, "\(NetworkNamespace.requirement)"))
        func `hosts beside it exchange TCP as if it were not there`() async throws {
            let one = try await LANHost(.none, 1)
            let other = try await LANHost(.vnet, 2)
            let lan = try await SwitchProcess(one.port + other.port + Self.port("bad", "raw"))
            let bad = try lan.peer("bad", 0x42)
            try await LANHost.join([one, other], lan)
            try await lan.allAttached(["bad"])

            async let rate = one.exchange(16 << 20, with: other, at: other.address)
            let rounds = 20
            for _ in 0..<rounds {
                for nonsense in Nonsense.all { try bad.send(nonsense.frame(9000)) }
            }
            _ = try await rate
            // The last of them may be behind all that the hosts said.
            let nonsense = UInt64(rounds * Nonsense.all.count)
            let report = try await lan.waitUntil("the nonsense is counted") { report in
                [one, other].allSatisfy {
                    (try? report.port($0.name).drops("too_big")) ?? 0 >= nonsense
                }
            }
            for host in [one, other] {
                #expect(try report.port(host.name).drops("too_big") == nonsense)
            }
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test(
            .serialized, arguments: Seeds.list(1),
            [1, 2])
        func `random frames reach no port that does not take them, and disturb nobody`(
            seed: UInt64, workers: Int
        ) async throws {
            let lengths = ["raw": 65_550, "short-raw": 3000, "none": 1518, "long-none": 9018]
            let names = lengths.keys.sorted()
            let lan = try await SwitchProcess(
                "[switch]\nworkers = \(workers)\n[port_defaults]\n"
                    + SwitchProcess.patientKeys
                    + names.map { name in
                        Self.port(name, String(name.split(separator: "-").last ?? ""))
                            + "max_frame = \(lengths[name] ?? 0)\n"
                    }.joined() + Self.port("a", "none") + Self.port("b", "none"))
            let peers = try names.enumerated().map { try lan.peer($1, 16 + $0) }
            try await lan.allAttached(names)

            async let load = LoadGenerator.run(
                endpoints: [lan.endpoint("a", 0), lan.endpoint("b", 1)],
                flows: ["from=a to=b rate=1000 duration=3"])
            async let longest = withThrowingTaskGroup(of: (Int, Int).self) { group in
                for (index, peer) in peers.enumerated() {
                    group.addTask {
                        (index, try await Self.longest(peer, markers: peers.count - 1))
                    }
                }
                return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            try Self.storm(from: peers, seed: seed)
            for (index, length) in try await longest {
                let limit = try #require(lengths[names[index]])
                #expect(length <= limit, "seed \(seed): \(names[index])")
            }
            let flow = try await load
            #expect(flow.faults == 0 && flow.flow(0, at: "b")?.lost == 0, "seed \(seed)")
            let report = try await lan.expectExactBooks(
                sent: peers.reduce(flow.totals.sent) { $0 + $1.sentFrames })
            #expect(report.totals.segmentCopies > 0, "seed \(seed)")
            let reasons: Set = ["too_big", "oversize", "runt", "filtered", "no_peer"]
            #expect(reasons.isSuperset(of: report.totals.drops.keys), "\(report.totals.drops)")
            try await lan.stop()
        }

        private static func port(_ name: String, _ offload: String) -> String {
            "[[port]]\nname = \"\(name)\"\ntype = \"unixgram\"\noffload = \"\(offload)\"\n"
        }

        /// The frame that says that its peer has no more to send.
        private static let lastType: UInt16 = 0x88B6

        /// Sends random frames, large and damaged ones among them, from every peer in turn.
        private static func storm(from peers: [Peer], seed: UInt64) throws {
            var generator = SeededGenerator(seed: seed)
            for _ in 0..<300 {
                for (index, peer) in peers.enumerated() {
                    var packet = PacketBuilder.randomNonsense(using: &generator)
                    packet.source = MACAddress(rawValue: 0x0200_0000_0010 + UInt64(index))
                    let other = Int.random(in: 0...peers.count, using: &generator)
                    packet.destination =
                        other == peers.count
                        ? .broadcast : MACAddress(rawValue: 0x0200_0000_0010 + UInt64(other))
                    try peer.send(packet.damaged(using: &generator))
                }
            }
            for peer in peers {
                try peer.send(
                    TestFrame(to: TestFrame.broadcast, from: peer.mac, etherType: lastType))
            }
        }

        /// The length of the longest frame that a peer receives, up to the last of all others.
        private static func longest(_ peer: Peer, markers: Int) async throws -> Int {
            var longest = 0
            var left = markers
            while left > 0 {
                let bytes = try await peer.receive().bytes
                longest = max(longest, bytes.count)
                if bytes.count == 60, bytes.wire(at: 12) == lastType { left -= 1 }
            }
            return longest
        }
    }
}
