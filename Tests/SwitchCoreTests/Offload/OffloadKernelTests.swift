import Support
import SwitchCore
import Testing

/// What the switch makes of frames, before the judge that counts: the kernel's own TCP and UDP.
@Suite(.enabled(if: KernelHost.isAvailable, Comment(rawValue: KernelHost.requirement)))
struct OffloadKernelTests {
    /// What arrived, and how many packets the kernel refused for their checksum.
    private struct Outcome: Sendable {
        var datagrams: [[UInt8]] = []
        var stream: [UInt8] = []
        var checksumErrors = 0
    }

    private static func bytes(_ count: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: 5)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    }

    /// Sends one large TCP packet to a kernel, in the way that `send` says.
    private static func sendTCP(
        _ payload: [UInt8], hasHeader: Bool, isIPv6: Bool, checksum: PacketBuilder.Checksum,
        expected count: Int,
        _ send: @escaping @Sendable (KernelHost, GuardedFrame) throws -> Void
    ) throws -> Outcome {
        try KernelHost.run(hasHeader: hasHeader) { host in
            var outcome = Outcome()
            outcome.stream = try host.stream(count, isIPv6: isIPv6) { packet in
                var packet = packet
                packet.flags = 0x18
                packet.payload = payload
                packet.checksum = checksum
                let frame = GuardedFrame(packet.bytes)
                inspectRaw(frame.address, length: frame.length)
                try send(host, frame)
            }
            outcome.checksumErrors = try host.checksumErrors()
            return outcome
        }
    }

    @Test(arguments: [false, true], [false, true])
    func `segments of TCP arrive`(hasHeader: Bool, isIPv6: Bool) throws {
        let payload = Self.bytes(20_001)
        let outcome = try Self.sendTCP(
            payload, hasHeader: hasHeader, isIPv6: isIPv6, checksum: .partial,
            expected: payload.count
        ) { host, frame in
            let cut = Segmentation(frame.address, length: frame.length, mtu: 1400, maxFrame: 1418)!
            for segment in cut.segments(of: frame) { try host.write(segment) }
        }
        #expect(outcome.stream == payload)
        #expect(outcome.checksumErrors == 0)
    }

    @Test(arguments: [false, true], [PacketBuilder.Checksum.partial, .complete])
    func `a large TCP frame with a header arrives, its checksum partial or complete`(
        isIPv6: Bool, checksum: PacketBuilder.Checksum
    ) throws {
        let payload = Self.bytes(20_001)
        let outcome = try Self.sendTCP(
            payload, hasHeader: true, isIPv6: isIPv6, checksum: checksum, expected: payload.count
        ) { host, frame in
            #expect(fitForVnet(frame.address, length: frame.length, mtu: 1500, maxFrame: 1518))
            #expect(frame.header.isTCP)
            try host.write(frame)
        }
        #expect(outcome.stream == payload)
        #expect(outcome.checksumErrors == 0)
    }

    /// What the sum of a large frame was completed for, one port may take whole and another cut.
    @Test(arguments: [false, true])
    func `a large TCP frame whose checksum was completed arrives`(isIPv6: Bool) throws {
        let payload = Self.bytes(20_001)
        let outcome = try Self.sendTCP(
            payload, hasHeader: true, isIPv6: isIPv6, checksum: .partial, expected: payload.count
        ) { host, frame in
            completeChecksum(frame.address, length: frame.length)
            #expect(fitForVnet(frame.address, length: frame.length, mtu: 1500, maxFrame: 1518))
            #expect(frame.header.flags == 0)
            try host.write(frame)
        }
        #expect(outcome.stream == payload)
        #expect(outcome.checksumErrors == 0)
    }

    @Test(arguments: [false, true])
    func `each segment of a frame with a wrong checksum is refused`(isIPv6: Bool) throws {
        let outcome = try Self.sendTCP(
            Self.bytes(4000), hasHeader: false, isIPv6: isIPv6, checksum: .wrong(1), expected: 0
        ) { host, frame in
            let cut = Segmentation(frame.address, length: frame.length, mtu: 1060, maxFrame: 1078)!
            #expect(cut.count == 4)
            for segment in cut.segments(of: frame) { try host.write(segment) }
        }
        #expect(outcome.checksumErrors == 4)
    }

    /// Sends one UDP packet to a kernel, as `send` says, with the header that a vnet port gives it.
    private static func sendUDP(
        _ payload: [UInt8], hasHeader: Bool, isIPv6: Bool, checksum: PacketBuilder.Checksum,
        gsoSize: Int, expected count: Int,
        _ send: @escaping @Sendable (KernelHost, GuardedFrame) throws -> Void
    ) throws -> Outcome {
        try KernelHost.run(hasHeader: hasHeader) { host in
            var packet = host.packet(.udp, isIPv6: isIPv6)
            packet.payload = payload
            packet.checksum = checksum
            var header = packet.vnetHeader(gsoSize: gsoSize)
            if gsoSize == 0 { header.gsoType = VirtioNetHeader.gsoNone }
            let frame = GuardedFrame(packet.bytes, header: header)
            let found = inspectVnet(frame.address, length: frame.length, maxFrame: 1518)
            var outcome = Outcome()
            outcome.datagrams = try host.datagrams(count, isIPv6: isIPv6) {
                if found == .fine { try send(host, frame) }
            }
            outcome.checksumErrors = try host.checksumErrors()
            return outcome
        }
    }

    @Test(arguments: [false, true], [false, true])
    func `segments of UDP arrive`(hasHeader: Bool, isIPv6: Bool) throws {
        let payload = Self.bytes(3001)
        let outcome = try Self.sendUDP(
            payload, hasHeader: hasHeader, isIPv6: isIPv6, checksum: .partial, gsoSize: 1001,
            expected: 3
        ) { host, frame in
            let cut = Segmentation(frame.address, length: frame.length, mtu: 1500, maxFrame: 1518)!
            for segment in cut.segments(of: frame) { try host.write(segment) }
        }
        let starts = [0, 1001, 2002]
        #expect(outcome.datagrams == starts.map { Array(payload[$0..<min($0 + 1001, 3001)]) })
        #expect(outcome.checksumErrors == 0)
    }

    @Test(arguments: [false, true], [false, true])
    func `a datagram whose checksum was completed arrives`(
        hasHeader: Bool, isIPv6: Bool
    ) throws {
        let payload = Self.bytes(1001)
        let outcome = try Self.sendUDP(
            payload, hasHeader: hasHeader, isIPv6: isIPv6, checksum: .partial, gsoSize: 0,
            expected: 1
        ) { host, frame in
            completeChecksum(frame.address, length: frame.length)
            try host.write(frame)
        }
        #expect(outcome.datagrams == [payload])
        #expect(outcome.checksumErrors == 0)
    }

    @Test(arguments: [false, true])
    func `a datagram with a wrong checksum is refused`(isIPv6: Bool) throws {
        let outcome = try Self.sendUDP(
            Self.bytes(1001), hasHeader: false, isIPv6: isIPv6, checksum: .wrong(1), gsoSize: 0,
            expected: 0
        ) { host, frame in try host.write(frame) }
        #expect(outcome.datagrams == [])
        #expect(outcome.checksumErrors == 1)
    }

    /// Why a partial checksum must not leave without its header.
    @Test(arguments: [false, true])
    func `a partial checksum is refused without a header and taken with one`(
        isIPv6: Bool
    ) throws {
        for hasHeader in [false, true] {
            let payload = Self.bytes(1001)
            let outcome = try Self.sendUDP(
                payload, hasHeader: hasHeader, isIPv6: isIPv6, checksum: .partial, gsoSize: 0,
                expected: hasHeader ? 1 : 0
            ) { host, frame in try host.write(frame) }
            #expect(outcome.datagrams == (hasHeader ? [payload] : []))
            #expect(outcome.checksumErrors == (hasHeader ? 0 : 1))
        }
    }
}
