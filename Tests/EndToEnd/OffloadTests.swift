// Hosts that leave checksums and the cutting up of large frames to others, and hosts that do not,
// on one LAN: in every mix all bytes arrive, and every checksum is right.

import Control
import Foundation
import Glibc
import Support
import SwitchCore
import Testing

extension EndToEnd {
    /// Two namespaces, each with a card of one class of offload.
    @Suite(
        "Large frames",
        .enabled(if: NetworkNamespace.isAvailable, "\(NetworkNamespace.requirement)"),
        .enabled(
            if: FileManager.default.fileExists(atPath: "/dev/net/tun"), "there is no /dev/net/tun"))
    struct LargeFrames {
        /// Every two different classes.
        private static let mixes: [(LANHost.Card, LANHost.Card)] = [
            (.raw, .none), (.raw, .vnet), (.vnet, .none),
        ]

        /// Two hosts on a switch of their own.
        private struct Pair {
            let one: LANHost, other: LANHost
            let lan: SwitchProcess

            init(_ one: LANHost.Card, _ other: LANHost.Card, hasIPv6: Bool = false) async throws {
                self.one = try await LANHost(one, 1, hasIPv6: hasIPv6)
                self.other = try await LANHost(other, 2, hasIPv6: hasIPv6)
                lan = try await SwitchProcess(self.one.port + self.other.port)
                try await LANHost.join([self.one, self.other], lan)
            }

            /// Demands that no receiver met a wrong checksum, and exact books of the switch.
            @discardableResult
            func expectFaultless() async throws -> StatusReport {
                for host in [one, other] {
                    let errors = try await host.namespace.checksumErrors()
                    #expect(errors.isEmpty, "\(host.card): \(errors)")
                }
                return try await lan.expectExactBooks()
            }
        }

        @Test(
            arguments: LANHost.Card.allCases, LANHost.Card.allCases)
        func `TCP arrives intact both ways, and every frame is accounted for`(
            one: LANHost.Card, other: LANHost.Card
        ) async throws {
            let pair = try await Pair(one, other)
            let count = 32 << 20
            let rate = try await pair.one.exchange(count, with: pair.other, at: pair.other.address)
            print("\(one) and \(other): \(rate) Mbit/s each way at once")
            let report = try await pair.expectFaultless()
            #expect(report.totals.drops["too_big"] == nil)

            // What the hosts say that they sent and received is what the switch says.
            let hosts = [try await pair.one.leave(), try await pair.other.leave()]
            let totals = try await pair.lan.expectExactBooks(
                sent: hosts.reduce(0) { $0 + $1.toSwitch.frames },
                received: hosts.reduce(0) { $0 + $1.fromSwitch.frames }
            ).totals
            #expect(totals.receivedBytes == hosts.reduce(0) { $0 + $1.toSwitch.bytes })
            #expect(totals.sentBytes == hosts.reduce(0) { $0 + $1.fromSwitch.bytes })
            // Large frames were large on their way: of 1500 bytes there would be twice as many.
            if one != .none || other != .none {
                #expect(totals.receivedFrames < 2 * count / 1500, "\(totals)")
            }
            try await pair.lan.stop()
        }

        @Test(arguments: mixes)
        func `TCP over IPv6 arrives intact`(one: LANHost.Card, other: LANHost.Card) async throws {
            let pair = try await Pair(one, other, hasIPv6: true)
            _ = try await pair.one.exchange(8 << 20, with: pair.other, at: pair.other.address6)
            try await pair.expectFaultless()
            try await pair.lan.stop()
        }

        @Test(
            .enabled(if: NetworkNamespace.hasVLANs, "the kernel has no VLANs (8021q)"),
            arguments: mixes)
        func `TCP in a VLAN arrives intact`(one: LANHost.Card, other: LANHost.Card) async throws {
            let pair = try await Pair(one, other)
            for (host, address) in [(pair.one, "10.5.0.1"), (pair.other, "10.5.0.2")] {
                try await host.run(
                    "sh", "-ec",
                    """
                    ip link add link eth0 name eth0.5 type vlan id 5
                    ip address add \(address)/24 dev eth0.5
                    ip link set eth0.5 up
                    """)
            }
            _ = try await pair.one.exchange(8 << 20, with: pair.other, at: "10.5.0.2")
            try await pair.expectFaultless()
            #expect(try await pair.lan.macs().allSatisfy { $0.vlan == 5 || $0.vlan == 0 })
            try await pair.lan.stop()
        }

        @Test(arguments: mixes)
        func `datagrams of every size arrive`(
            one: LANHost.Card, other: LANHost.Card
        ) async throws {
            let pair = try await Pair(one, other)
            for (from, to) in [(pair.one, pair.other), (pair.other, pair.one)] {
                let receiver = try await NetworkSocket.receiving(to.namespace, at: to.address, 5002)
                let sender = try await NetworkSocket.connected(
                    from.namespace, to: to.address, 5002, SOCK_DGRAM)
                // The largest that fits a frame, and what IP takes apart.
                for length in [0, 1, 18, 1471, 1472, 1473, 9000, 65_507] {
                    let datagram = KnownBytes.bytes(from: length, length)
                    _ = try datagram.withUnsafeBytes { try sender.send($0) }
                    #expect(try await to.nextDatagram(receiver) == datagram, "\(length) bytes")
                }
            }
            try await pair.expectFaultless()
            try await pair.lan.stop()
        }

        @Test(
            arguments: [.raw, .vnet] as [LANHost.Card],
            LANHost.Card.allCases)
        func `datagrams that were sent as one arrive one by one`(
            from: LANHost.Card, to: LANHost.Card
        ) async throws {
            let pair = try await Pair(from, to)
            let receiver = try await NetworkSocket.receiving(
                pair.other.namespace, at: pair.other.address, 5002)
            let sender = try await NetworkSocket.connected(
                pair.one.namespace, to: pair.other.address, 5002, SOCK_DGRAM)
            let size = 1000
            sender.cutDatagrams(to: size)
            let count = 40 * size + 17
            let sent = KnownBytes.bytes(from: 0, count)
            #expect(try sent.withUnsafeBytes { try sender.send($0) } == count)
            for start in stride(from: 0, to: count, by: size) {
                let datagram = Array(sent[start..<min(start + size, count)])
                #expect(try await pair.other.nextDatagram(receiver) == datagram)
            }
            let report = try await pair.expectFaultless()
            // A device with a header hands all over as one frame, since Linux 6.2.
            if from == .vnet, to != .vnet { #expect(report.totals.segmentCopies == 40) }
            try await pair.lan.stop()
        }

        @Test(
            arguments: [[.none, .vnet, .raw], [.vnet, .raw, .none]] as [[LANHost.Card]])
        func `a broadcast with an unfinished checksum is right for every host`(
            cards: [LANHost.Card]
        ) async throws {
            var hosts: [LANHost] = []
            for (index, card) in cards.enumerated() {
                hosts.append(try await LANHost(card, index + 1))
            }
            let lan = try await SwitchProcess(
                hosts.map(\.port).joined()
                    + "[[port]]\nname = \"p\"\ntype = \"unixgram\"\noffload = \"raw\"\n")
            let peer = try lan.peer("p", 66)
            try await LANHost.join(hosts, lan)
            try await lan.allAttached()
            var receivers: [NetworkSocket] = []
            for host in hosts {
                receivers.append(
                    try await NetworkSocket.receiving(host.namespace, at: "0.0.0.0", 5002))
            }
            var packet = PacketBuilder()
            packet.transport = .udp
            packet.destination = .broadcast
            packet.source = MACAddress(rawValue: 0x0200_0000_0042)
            packet.sourceHost.replaceSubrange(12..., with: [10, 0, 0, 66])
            packet.destinationHost.replaceSubrange(12..., with: [255, 255, 255, 255])
            packet.destinationPort = 5002
            packet.checksum = .partial
            for length in [0, 1, 100, 1471, 1472] {
                packet.payload = KnownBytes.bytes(from: length, length)
                try peer.send(packet.bytes)
                for (host, receiver) in zip(hosts, receivers) {
                    let datagram = try await host.nextDatagram(receiver)
                    #expect(datagram == packet.payload, "\(host.card), \(length) bytes")
                }
            }
            for host in hosts { #expect(try await host.namespace.checksumErrors() == []) }
            try await lan.expectExactBooks()
            try await lan.stop()
        }
    }
}

extension LANHost {
    /// The next datagram that a socket of this host receives.
    fileprivate func nextDatagram(_ socket: NetworkSocket) async throws -> [UInt8] {
        try await namespace.run {
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            let count = try buffer.withUnsafeMutableBytes { try socket.receive($0) }
            return Array(buffer[..<count])
        }
    }
}

extension NetworkSocket {
    /// Lets one call send many datagrams (UDP_SEGMENT, linux/udp.h).
    fileprivate func cutDatagrams(to size: Int) {
        var size = Int32(size)
        setsockopt(descriptor, Int32(IPPROTO_UDP), 103, &size, 4)
    }
}
