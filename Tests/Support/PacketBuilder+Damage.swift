// Packets that are not what they say.

extension PacketBuilder {
    /// The frame with up to four bytes of its headers changed, another type, or its end cut off;
    /// now and then as it is. The addresses stay.
    public func damaged(using generator: inout SeededGenerator) -> [UInt8] {
        var frame = bytes
        switch Int.random(in: 0..<8, using: &generator) {
        case 0..<4:
            // Headers are where damage tells.
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let offset = Int.random(in: 12..<headerLength, using: &generator)
                frame[offset] = [0, 0xFF, frame[offset] ^ 1, generator.bytes(1)[0]]
                    .randomElement(using: &generator)!
            }
        case 4: frame.replaceSubrange(12..<14, with: generator.bytes(2))
        case 5: frame.removeLast(Int.random(in: 0...frame.count - 14, using: &generator))
        default: break
        }
        return frame
    }

    /// A packet whose parts do not belong together: fragments, urgent data, flags and lengths as
    /// they come.
    public static func randomNonsense(using generator: inout SeededGenerator) -> PacketBuilder {
        var packet = random(using: &generator)
        if Bool.random(using: &generator) { packet.flags = generator.bytes(1)[0] }
        if Int.random(in: 0..<8, using: &generator) == 0 { packet.fragment = generator.word() }
        return packet
    }
}
