// Random packets: every option, tag, extension header and length that a packet may have.

extension PacketBuilder {
    /// A valid packet that may be cut: neither urgent data nor SYN, no fragment; with a checksum
    /// that is complete, partial, wrong or, for UDP over IPv4, absent.
    public static func random(using generator: inout SeededGenerator) -> PacketBuilder {
        var packet = PacketBuilder()
        for _ in 0..<[0, 0, 1, 2].randomElement(using: &generator)! {
            let tag: UInt16 = [0x8100, 0x88A8].randomElement(using: &generator)!
            packet.tags.append((tag, generator.word()))
        }
        packet.isIPv6 = Bool.random(using: &generator)
        packet.sourceHost = generator.bytes(16)
        packet.destinationHost = generator.bytes(16)
        packet.trafficClass = UInt8.random(in: .min ... .max, using: &generator)
        packet.flowLabel = UInt32.random(in: .min ... .max, using: &generator)
        packet.identification = generator.word()
        packet.fragment = [0, 0x4000, 0x8000].randomElement(using: &generator)!
        packet.hopLimit = UInt8.random(in: .min ... .max, using: &generator)
        packet.randomiseTransport(using: &generator)
        if packet.isIPv6 {
            for _ in 0..<[0, 0, 0, 1, 2, 3].randomElement(using: &generator)! {
                packet.appendRandomExtension(using: &generator)
            }
        } else {
            packet.networkOptions = generator.options()
        }
        packet.payload = generator.bytes(packet.randomPayloadLength(using: &generator))
        if Int.random(in: 0..<4, using: &generator) == 0 && packet.payload.count < 1000 {
            packet.padding = generator.bytes(Int.random(in: 1...60, using: &generator))
        }
        packet.checksum = packet.randomChecksum(using: &generator)
        return packet
    }

    private mutating func randomiseTransport(using generator: inout SeededGenerator) {
        transport = Int.random(in: 0..<4, using: &generator) == 0 ? .udp : .tcp
        sourcePort = generator.word()
        destinationPort = generator.word()
        sequence = UInt32.random(in: .min ... .max, using: &generator)
        acknowledgement = UInt32.random(in: .min ... .max, using: &generator)
        flags = UInt8.random(in: .min ... .max, using: &generator) & ~0x22
        reserved = UInt8.random(in: 0...15, using: &generator)
        window = generator.word()
        urgent = generator.word()
        if transport == .tcp { transportOptions = generator.options() }
    }

    /// Hop-by-hop options, destination options, or one route, with or without stops left.
    private mutating func appendRandomExtension(using generator: inout SeededGenerator) {
        let hasRoute = extensions.contains { $0.number == 43 }
        let number: UInt8 = (hasRoute ? [0, 60] : [0, 43, 60]).randomElement(using: &generator)!
        var content = generator.bytes(6 + 8 * Int.random(in: 0...3, using: &generator))
        if number == 43 {
            content[1] = 0
            if Bool.random(using: &generator) {
                let stopCount = Int.random(in: 1...3, using: &generator)
                content = generator.bytes(6 + 16 * stopCount)
                content[0] = [0, 2, 4].randomElement(using: &generator)!
                content[1] = UInt8.random(in: 1...255, using: &generator)
                let last = content[0] == 0 ? 6 + 16 * (stopCount - 1) : 6
                content.replaceSubrange(last..<last + 16, with: destinationHost)
                nextStop = generator.bytes(16)
            }
        }
        extensions.append(Extension(number: number, content: content))
    }

    private func randomPayloadLength(using generator: inout SeededGenerator) -> Int {
        // What the length fields can say, and what a frame may have.
        let lengthMax = min((isIPv6 ? network + 40 : network) + 65_535, 65_550) - headerLength
        switch Int.random(in: 0..<8, using: &generator) {
        case 0: return Int.random(in: 0...8, using: &generator)
        case 1, 2: return Int.random(in: 0...1500, using: &generator)
        case 3: return 1448 * Int.random(in: 1...8, using: &generator)
        case 4, 5, 6: return Int.random(in: 1500...9000, using: &generator)
        default: return Int.random(in: 0...lengthMax, using: &generator)
        }
    }

    private func randomChecksum(using generator: inout SeededGenerator) -> Checksum {
        switch Int.random(in: 0..<8, using: &generator) {
        case 0: .wrong(UInt16.random(in: 1...0xFFFE, using: &generator))
        case 1: transport == .udp && !isIPv6 ? .zero : .complete
        case 2: .complete
        default: .partial
        }
    }
}

extension SeededGenerator {
    /// 16 random bits.
    public mutating func word() -> UInt16 { UInt16(truncatingIfNeeded: next() >> 32) }

    /// `count` random bytes; now and then all of them 0 or 0xff, where sums are special.
    public mutating func bytes(_ count: Int) -> [UInt8] {
        switch Int.random(in: 0..<16, using: &self) {
        case 0: return [UInt8](repeating: 0, count: count)
        case 1: return [UInt8](repeating: 0xFF, count: count)
        default: break
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 7)
        while bytes.count < count {
            var word = next()
            for _ in 0..<8 {
                bytes.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// Options of IPv4 or TCP: 0 to 40 bytes, mostly none.
    mutating func options() -> [UInt8] {
        bytes([0, 0, 0, 12, 4 * Int.random(in: 0...10, using: &self)].randomElement(using: &self)!)
    }
}
