// Which frames are one flow.

import Support
import SwitchCore
import Testing

@Suite struct FlowHashTests {
    private func hash(_ bytes: [UInt8], seed: UInt64 = 1) -> UInt32 {
        // The end of the frame lies at a page that cannot be touched.
        let frame = GuardedFrame(bytes)
        return FlowHash.hash(UnsafeRawPointer(frame.address), length: frame.length, seed: seed)
    }

    @Test(arguments: Seeds.list(200))
    func `what a segment carries does not change its flow, who speaks to whom does`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let comment: Comment = "seed \(seed)"
        var packet = PacketBuilder.random(using: &generator)
        packet.extensions = []
        packet.nextStop = nil
        packet.fragment = 0x4000
        let flow = hash(packet.bytes)

        var later = packet
        later.payload = generator.bytes(100)
        later.identification &+= 1
        later.sequence &+= 1000
        later.hopLimit = 3
        #expect(hash(later.bytes) == flow, comment)

        var other = packet
        other.sourcePort &+= 1
        #expect(hash(other.bytes) != flow, comment)
        other = packet
        other.destinationPort &+= 1
        #expect(hash(other.bytes) != flow, comment)
        other = packet
        other.sourceHost[15] &+= 1
        #expect(hash(other.bytes) != flow, comment)
        other = packet
        other.destinationHost[13] &+= 1
        #expect(hash(other.bytes) != flow, comment)
        other = packet
        other.transport = packet.transport == .tcp ? .udp : .tcp
        #expect(hash(other.bytes) != flow, comment)
        other = packet
        swap(&other.sourcePort, &other.destinationPort)
        swap(&other.sourceHost, &other.destinationHost)
        if other.bytes != packet.bytes { #expect(hash(other.bytes) != flow, comment) }
        #expect(hash(packet.bytes, seed: 2) != flow, comment)
    }

    @Test func `the fragments of a datagram are one flow`() {
        var packet = PacketBuilder()
        packet.transport = .udp
        packet.fragment = 0x2000
        packet.payload = Array(0..<200)
        let first = hash(packet.bytes)
        // A later fragment has payload where the ports would be.
        packet.fragment = 0x00B9
        packet.sourcePort = 0x1234
        #expect(hash(packet.bytes) == first)
        packet.sourceHost[15] = 77
        #expect(hash(packet.bytes) != first)
    }

    @Test func `what is not IP is told by its addresses and type`() {
        var bytes = (0..<60).map { UInt8($0) }
        let flow = hash(bytes)
        bytes[14] = 99
        #expect(hash(bytes) == flow)
        for position in 0..<14 {
            var other = bytes
            other[position] ^= 0x40
            #expect(hash(other) != flow, "byte \(position)")
        }
    }

    @Test(arguments: Seeds.list(40))
    func `a frame cut off anywhere has a flow`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let bytes = PacketBuilder.random(using: &generator).bytes
        for length in 0...min(bytes.count, 120) { _ = hash(Array(bytes[..<length])) }
    }

    @Test func `flows spread evenly`() {
        var buckets = Array(repeating: 0, count: 256)
        var packet = PacketBuilder()
        var hashes: Set<UInt32> = []
        for number in 0..<10_000 {
            packet.sourcePort = UInt16(number & 0xFF)
            packet.destinationHost[15] = UInt8(number >> 8)
            let value = hash(packet.bytes)
            hashes.insert(value)
            buckets[Int(value & 0xFF)] += 1
        }
        #expect(hashes.count >= 9_995)
        // 255 degrees of freedom: a chi-square above 400 has a chance of one in a hundred million.
        let expected = 10_000.0 / 256
        let chi = buckets.reduce(0.0) {
            $0 + (Double($1) - expected) * (Double($1) - expected) / expected
        }
        #expect(chi < 400)
    }
}
