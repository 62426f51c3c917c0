import Support
import SwitchCore
import Testing

/// Hostile frames and headers: nothing is read or written outside of them, whatever they claim.
///
/// Frames lie at the edge of a page that cannot be touched, so that every step outside ends the
/// run.
@Suite struct OffloadRobustnessTests {
    /// Does everything with a frame that the switch may do.
    private func exercise(
        _ bytes: [UInt8], _ header: VirtioNetHeader, using generator: inout SeededGenerator,
        _ note: Comment
    ) {
        let mtu = [0, 40, 60, 576, 1500, 65_535].randomElement(using: &generator)!
        let maxFrame = mtu + Int.random(in: 0...30, using: &generator)
        for placement in GuardedFrame.Placement.allCases {
            let raw = GuardedFrame(bytes, header: header, at: placement)
            inspectRaw(raw.address, length: raw.length)
            checkCut(raw, mtu: mtu, maxFrame: maxFrame, note)
            let vnet = GuardedFrame(bytes, header: header, at: placement)
            guard inspectVnet(vnet.address, length: vnet.length, maxFrame: 9000) == .fine else {
                continue
            }
            checkCut(vnet, mtu: mtu, maxFrame: maxFrame, note)
        }
    }

    private func checkCut(_ frame: GuardedFrame, mtu: Int, maxFrame: Int, _ note: Comment) {
        let copy = GuardedFrame(frame.bytes, header: frame.header, at: .end)
        _ = fitForVnet(copy.address, length: copy.length, mtu: mtu, maxFrame: maxFrame)
        completeChecksum(copy.address, length: copy.length)
        #expect(!copy.header.needsChecksum, note)
        guard
            let cut = Segmentation(
                frame.address, length: frame.length, mtu: mtu, maxFrame: maxFrame)
        else { return }
        #expect(cut.count <= Segmentation.countMax, note)
        #expect(cut.headerLength <= Segmentation.headerLengthMax, note)
        let segments = cut.segments(of: frame)
        let lengthMax = segments.map(\.count).max()!
        #expect(lengthMax <= maxFrame, note)
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
