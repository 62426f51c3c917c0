import Support
import SwitchCore
import Testing

/// Cutting: what comes out is byte for byte what the builder makes of the same fields.
@Suite struct SegmentationTests {
    private func tcp(payload count: Int) -> PacketBuilder {
        var packet = PacketBuilder()
        packet.transportOptions = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]
        packet.identification = 0xFFFE
        packet.sequence = 0xFFFF_FF00
        packet.flags = 0x99  // CWR, ACK, PSH, FIN
        packet.payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        return packet
    }

    @Test(arguments: [false, true], [1, 1447, 1448, 1449, 2896, 64_000])
    func `a large TCP frame from a raw port is cut to the MTU`(isIPv6: Bool, count: Int) throws {
        var packet = tcp(payload: count)
        packet.isIPv6 = isIPv6
        packet.checksum = .partial
        let frame = GuardedFrame(packet.bytes)
        inspectRaw(frame.address, length: frame.length)
        #expect(frame.header.needsChecksum)
        let size = isIPv6 ? 1428 : 1448
        let cut = try #require(
            Segmentation(frame.address, length: frame.length, mtu: 1500, maxFrame: 1518))
        #expect(cut.segmentSize == size)
        #expect(cut.count == (count + size - 1) / size)
        #expect(cut.segments(of: frame) == packet.segments(of: size).map(\.bytes))
    }
}
