// Marks of congestion against a reference that builds the marked packet from its fields.

import Support
import SwitchCore
import Testing

@Suite struct CongestionMarkTests {
    @Test(arguments: Seeds.list(300))
    func `a marked packet is the one built with the mark`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var packet = PacketBuilder.random(using: &generator)
        for codepoint: UInt8 in 0...3 {
            packet.trafficClass = packet.trafficClass & ~3 | codepoint
            let frame = GuardedFrame(packet.bytes)
            let isMarked = CongestionMark.mark(frame.address, length: frame.length)
            var marked = packet
            if codepoint != 0 { marked.trafficClass |= 3 }
            #expect(isMarked == (codepoint != 0), "seed \(seed), code point \(codepoint)")
            #expect(frame.bytes == marked.bytes, "seed \(seed), code point \(codepoint)")
        }
    }

    @Test(arguments: Seeds.list(40))
    func `a frame whose IP header is cut off stays as it is`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var packet = PacketBuilder.random(using: &generator)
        packet.trafficClass = packet.trafficClass & ~3 | 1
        let bytes = packet.bytes
        let headerEnd =
            packet.network + (packet.isIPv6 ? 40 : 20 + packet.networkOptions.count)
        for length in 0..<headerEnd {
            let frame = GuardedFrame(Array(bytes[..<length]))
            #expect(!CongestionMark.mark(frame.address, length: length), "seed \(seed)")
            #expect(frame.bytes == Array(bytes[..<length]), "seed \(seed)")
        }
    }

    @Test func `what is not IP, or lies about it, stays as it is`() {
        var packet = PacketBuilder()
        packet.trafficClass = 1
        var frames: [[UInt8]] = []
        for (position, value) in [(12, 0x09), (14, 0x55), (14, 0x44), (14, 0x4F)] {
            var bytes = packet.bytes
            bytes[position] = UInt8(value)
            frames.append(bytes)
        }
        packet.tags = Array(repeating: (protocol: 0x8100, control: 5), count: 3)
        frames.append(packet.bytes)
        for bytes in frames {
            let frame = GuardedFrame(bytes)
            #expect(!CongestionMark.mark(frame.address, length: frame.length))
            #expect(frame.bytes == bytes)
        }
    }
}
