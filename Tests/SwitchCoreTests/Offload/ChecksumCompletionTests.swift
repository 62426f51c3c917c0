import Support
import SwitchCore
import Testing

/// Completed checksums against sums taken byte by byte.
@Suite struct ChecksumCompletionTests {
    /// Completes the checksum at `start` + `offset` and compares the frame with the naive result.
    private func check(_ bytes: [UInt8], start: Int, offset: Int, _ note: Comment? = nil) {
        let frame = GuardedFrame(
            bytes,
            header: VirtioNetHeader(
                flags: 3, checksumStart: start, checksumOffset: offset, bufferCount: 1))
        completeChecksum(frame.address, length: frame.length)
        var expected = bytes
        let sum = ~naiveSum(bytes[start...])
        expected.store(wire: sum == 0 ? 0xFFFF : sum, at: start + offset)
        #expect(frame.bytes == expected, note)
        #expect(frame.header == VirtioNetHeader(flags: 2, bufferCount: 1), note)
    }

    @Test func `every length up to 300 bytes, at every alignment`() {
        var generator = SeededGenerator(seed: 1)
        for length in 2...300 {
            let start = 14 + length % 17
            check(generator.bytes(start + length), start: start, offset: 0)
        }
    }

    @Test(arguments: [0x00, 0x01, 0x80, 0xFF] as [UInt8], [62, 1448, 65_533, 65_536])
    func `sums of many equal bytes`(byte: UInt8, length: Int) {
        check([UInt8](repeating: byte, count: 14 + length), start: 14, offset: 6)
    }

    @Test func `a checksum of zero becomes 0xffff`() {
        var bytes = [UInt8](repeating: 0, count: 60)
        bytes.store(wire: 0xFFFF, at: 34)
        check(bytes, start: 34, offset: 0)
        check(bytes, start: 34, offset: 6)
    }

    @Test func `a header that asks for nothing changes nothing`() {
        let bytes = [UInt8](repeating: 7, count: 60)
        let header = VirtioNetHeader(flags: 2, checksumStart: 14, checksumOffset: 2)
        let frame = GuardedFrame(bytes, header: header)
        completeChecksum(frame.address, length: frame.length)
        #expect(frame.bytes == bytes)
        #expect(frame.header == header)
    }

    @Test func `a large frame stays one to be cut`() {
        var packet = PacketBuilder()
        packet.payload = [UInt8](repeating: 5, count: 4000)
        packet.checksum = .partial
        let frame = GuardedFrame(packet.bytes, header: packet.vnetHeader(gsoSize: 1000))
        completeChecksum(frame.address, length: frame.length)
        packet.checksum = .complete
        #expect(frame.bytes == packet.bytes)
        #expect(frame.header == packet.vnetHeader(gsoSize: 1000))
    }

    @Test(arguments: Seeds.list(300))
    func `random packets from a raw port leave with every checksum as it must be`(seed: UInt64) {
        let note: Comment = "RINGSWITCH_SEED=\(seed)"
        var generator = SeededGenerator(seed: seed)
        var packet = PacketBuilder.random(using: &generator)
        let frame = GuardedFrame(packet.bytes)
        inspectRaw(frame.address, length: frame.length)
        completeChecksum(frame.address, length: frame.length)
        if case .partial = packet.checksum { packet.checksum = .complete }
        #expect(frame.bytes == packet.bytes, note)
        #expect(frame.header == VirtioNetHeader(bufferCount: 1), note)
    }
}
