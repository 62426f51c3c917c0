// A second opinion on frames: parsed byte by byte from arrays, without a thought for speed.

/// A TCP segment or UDP datagram as it lies in a frame.
public struct ReferencePacket {
    /// The whole frame.
    public let bytes: [UInt8]
    /// The first byte of the IP header.
    public let network: Int
    /// The first byte of the TCP or UDP header.
    public let transport: Int
    /// The first byte behind all headers.
    public let payload: Int
    /// The first byte behind the IP packet.
    public let end: Int
    /// IPv6, or IPv4.
    public let isIPv6: Bool
    /// TCP, or UDP.
    public let isTCP: Bool
    /// Source and destination as the checksum counts them.
    private let addresses: [UInt8]

    /// Parses a frame.
    /// - Returns: `nil` unless it carries one whole segment or datagram whose lengths agree.
    public init?(_ bytes: [UInt8]) {
        var reader = Reader(bytes: bytes)
        guard reader.skip(12) else { return nil }
        var tags = 0
        var type = reader.word()
        while type == 0x8100 || type == 0x88A8 {
            tags += 1
            guard tags <= 2, reader.skip(2) else { return nil }
            type = reader.word()
        }
        network = reader.position
        var hosts: [UInt8]
        var number: UInt8
        if type == 0x0800 {
            guard let first = reader.byte(at: 0), first >> 4 == 4, first & 15 >= 5,
                let total = reader.word(at: 2), let fragment = reader.word(at: 6),
                fragment & 0x3FFF == 0, let next = reader.byte(at: 9), reader.limit(to: Int(total)),
                let pair = reader.bytes(at: 12, count: 8), reader.skip(4 * Int(first & 15))
            else { return nil }
            (hosts, number) = (pair, next)
        } else if type == 0x86DD {
            guard let first = reader.byte(at: 0), first >> 4 == 6, let length = reader.word(at: 4),
                let next = reader.byte(at: 6), reader.limit(to: 40 + Int(length)),
                let pair = reader.bytes(at: 8, count: 32), reader.skip(40)
            else { return nil }
            (hosts, number) = (pair, next)
            guard Self.skipExtensions(&reader, number: &number, hosts: &hosts) else { return nil }
        } else {
            return nil
        }
        transport = reader.position
        let headerLength: Int
        if number == 6 {
            guard let offset = reader.byte(at: 12), offset >> 4 >= 5 else { return nil }
            headerLength = 4 * Int(offset >> 4)
            guard headerLength >= 20 else { return nil }
        } else {
            headerLength = 8
            guard number == 17, let length = reader.word(at: 4), Int(length) == reader.left else {
                return nil
            }
        }
        guard reader.skip(headerLength) else { return nil }
        payload = reader.position
        end = reader.end
        isIPv6 = type == 0x86DD
        isTCP = number == 6
        addresses = hosts
        self.bytes = bytes
    }

    private static func skipExtensions(
        _ reader: inout Reader, number: inout UInt8, hosts: inout [UInt8]
    ) -> Bool {
        var count = 0
        while [0, 43, 60].contains(number) {
            count += 1
            guard count <= 8, let next = reader.byte(at: 0), let size = reader.byte(at: 1),
                let content = reader.bytes(at: 0, count: 8 * (Int(size) + 1))
            else { return false }
            if number == 43, content[3] > 0 {
                let stops = (content.count - 8) / 16
                guard stops > 0, [0, 2, 4].contains(content[2]) else { return false }
                let last = content[2] == 0 ? stops - 1 : 0
                hosts.replaceSubrange(16..<32, with: content[(8 + 16 * last)..<(24 + 16 * last)])
            }
            number = next
            guard reader.skip(content.count) else { return false }
        }
        return true
    }

    /// Where the checksum lies in the frame.
    public var checksumField: Int { transport + (isTCP ? 16 : 6) }

    /// The checksum as it stands in the frame.
    public var checksum: UInt16 { bytes.wire(at: checksumField) }

    /// The sum of the pseudo-header, folded.
    public var pseudoHeaderSum: UInt16 {
        let length = UInt16(end - transport)
        return naiveAdd(naiveAdd(naiveSum(addresses), isTCP ? 6 : 17), length)
    }

    /// The sum of pseudo-header and packet, folded: 0xffff if the checksum is right, and otherwise
    /// what is wrong with it.
    public var wholeSum: UInt16 { naiveAdd(pseudoHeaderSum, naiveSum(bytes[transport..<end])) }

    /// True if the checksum of the IPv4 header is right; there is none in IPv6.
    public var isNetworkChecksumRight: Bool {
        guard !isIPv6 else { return true }
        return naiveSum(bytes[network..<network + 4 * Int(bytes[network] & 15)]) == 0xFFFF
    }
}

/// A place in an array, with a limit.
private struct Reader {
    let bytes: [UInt8]
    var position = 0
    var end: Int

    init(bytes: [UInt8]) {
        self.bytes = bytes
        end = bytes.count
    }

    var left: Int { end - position }

    func bytes(at offset: Int, count: Int) -> [UInt8]? {
        guard offset + count <= left else { return nil }
        return Array(bytes[(position + offset)..<(position + offset + count)])
    }

    func byte(at offset: Int) -> UInt8? { bytes(at: offset, count: 1)?[0] }

    func word(at offset: Int) -> UInt16? { bytes(at: offset, count: 2)?.wire(at: 0) }

    mutating func skip(_ count: Int) -> Bool {
        guard count <= left else { return false }
        position += count
        return true
    }

    /// Takes a word; zero, which is no type, where there is none.
    mutating func word() -> UInt16 {
        guard let word = word(at: 0) else { return 0 }
        position += 2
        return word
    }

    mutating func limit(to count: Int) -> Bool {
        guard count <= left else { return false }
        end = position + count
        return true
    }
}
