import Support
import SwitchCore
import Testing

/// Hostile frames and headers: nothing is read or written outside of them, whatever they claim.
///
/// Frames lie at the edge of a page that cannot be touched, so that every step outside ends the
/// run.
@Suite struct OffloadRobustnessTests {
    private func exercise(
        _ bytes: [UInt8], _ header: VirtioNetHeader, using generator: inout SeededGenerator,
        _ note: Comment
    ) {
        let mtu = [0, 40, 60, 576, 1500, 65_535].randomElement(using: &generator)!
        let maxFrame = mtu + Int.random(in: 0...30, using: &generator)
        for placement in GuardedFrame.Placement.allCases {
            let properties = OffloadProperties(
                mtu: mtu, maxFrame: maxFrame, placement: placement)
            #expect(throws: Never.self, note) {
                try properties.checkRaw(bytes, header: header)
                try properties.checkVnet(bytes, header: header)
            }
        }
    }

    @Test(arguments: Seeds.list(300)) func `whole packets do no harm`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var packet = PacketBuilder.random(using: &generator)
        packet.payload = Array(packet.payload.prefix(3000))
        let header = packet.vnetHeader(gsoSize: Int.random(in: 1...2000, using: &generator))
        exercise(packet.bytes, header, using: &generator, "RINGSWITCH_SEED=\(seed)")
    }

    @Test(arguments: Seeds.list(400)) func `damaged packets do no harm`(seed: UInt64) {
        let note: Comment = "RINGSWITCH_SEED=\(seed)"
        var generator = SeededGenerator(seed: seed)
        var packet = PacketBuilder.random(using: &generator)
        packet.payload = Array(packet.payload.prefix(3000))
        var bytes = packet.bytes
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
            // Headers are where damage tells.
            let offset = Int.random(
                in: 12..<min(bytes.count, packet.headerLength), using: &generator)
            bytes[offset] = [0, 0xFF, bytes[offset] ^ 1, generator.bytes(1)[0]]
                .randomElement(using: &generator)!
        }
        if Int.random(in: 0..<4, using: &generator) == 0 {
            bytes.removeLast(Int.random(in: 1...bytes.count, using: &generator))
        }
        let gsoSize = Int.random(in: 1...2000, using: &generator)
        var header = packet.vnetHeader(gsoSize: gsoSize)
        if Bool.random(using: &generator) { header.checksumStart = generator.word() & 0xFFF }
        if Bool.random(using: &generator) { header.gsoType = generator.bytes(1)[0] }
        exercise(bytes, header, using: &generator, note)
    }

    @Test(arguments: Seeds.list(400)) func `random bytes do no harm`(seed: UInt64) {
        let note: Comment = "RINGSWITCH_SEED=\(seed)"
        var generator = SeededGenerator(seed: seed)
        var bytes = generator.bytes(Int.random(in: 0...200, using: &generator))
        if bytes.count > 15 {
            // Noise behind something that is looked at.
            let isIPv6 = Bool.random(using: &generator)
            bytes.store(wire: isIPv6 ? 0x86DD : 0x0800, at: 12)
            bytes[14] = isIPv6 ? 0x60 : 0x40 | bytes[14] & 0xF
        }
        var header = VirtioNetHeader(
            flags: generator.bytes(1)[0], gsoType: generator.bytes(1)[0])
        header.gsoSize = generator.word()
        header.checksumStart = generator.word() & 0xFF
        header.checksumOffset = generator.word() & 0x1F
        exercise(bytes, header, using: &generator, note)
    }

    /// So that every header in turn is what ends at the frame's end, once with lengths that say so.
    @Test(arguments: [PacketBuilder.Transport.tcp, .udp], 0...2)
    func `a packet cut off anywhere does no harm`(
        transport: PacketBuilder.Transport, tagCount: Int
    ) {
        var generator = SeededGenerator(seed: 1)
        var packet = PacketBuilder()
        packet.transport = transport
        packet.checksum = .partial
        packet.tags = Array(repeating: (0x8100, 1), count: tagCount)
        packet.payload = [1, 2, 3]
        for isIPv6 in [false, true] {
            packet.isIPv6 = isIPv6
            packet.networkOptions = [1, 1, 1, 1]
            packet.extensions = [0, 43, 60].map {
                .init(number: $0, content: [4, 1] + Array(repeating: 0, count: 20))
            }
            let field = packet.network + (isIPv6 ? 4 : 2)
            let bytes = packet.bytes
            for length in 0..<bytes.count {
                var prefix = Array(bytes.prefix(length))
                let note: Comment = "length \(length), IPv6 \(isIPv6)"
                exercise(prefix, packet.vnetHeader(gsoSize: 1), using: &generator, note)
                let packetLength = length - packet.network - (isIPv6 ? 40 : 0)
                guard field + 2 <= length, packetLength >= 0 else { continue }
                prefix.store(wire: UInt16(packetLength), at: field)
                exercise(prefix, packet.vnetHeader(gsoSize: 1), using: &generator, note)
            }
        }
    }

    @Test func `headers full of ones do no harm`() {
        var generator = SeededGenerator(seed: 1)
        for length in 0...120 {
            let header = VirtioNetHeader(
                flags: 0xFF, gsoType: 0xFF, headerLength: 0xFFFF, gsoSize: 0xFFFF,
                checksumStart: 0xFFFF, checksumOffset: 0xFFFF, bufferCount: 0xFFFF)
            let bytes = [UInt8](repeating: 0xFF, count: length)
            exercise(bytes, header, using: &generator, "length \(length)")
        }
    }
}
