// Whole TCP and UDP packets in frames, field by field, and random ones. What is built here is the
// reference for what the switch writes, so everything is done byte by byte.

public import SwitchCore

/// Builds a frame that carries one TCP segment or UDP datagram.
public struct PacketBuilder: Sendable {
    /// The protocol behind IP, by its number.
    public enum Transport: UInt8, Sendable {
        case tcp = 6
        case udp = 17
    }

    /// What stands in the checksum field of TCP or UDP.
    public enum Checksum: Sendable {
        /// The checksum of the packet.
        case complete
        /// The sum of the pseudo-header, as a guest leaves it to others.
        case partial
        /// The complete one plus this, in ones' complement: wrong by it.
        case wrong(UInt16)
        /// Zero: to UDP over IPv4, none.
        case zero
    }

    /// One IPv6 extension header.
    public struct Extension: Sendable {
        /// Its number in the next-header field before it.
        public var number: UInt8
        /// What follows its two bytes of next header and length; 6 bytes, or 8 more each.
        public var content: [UInt8]

        /// A header of `content.count` + 2 bytes.
        public init(number: UInt8, content: [UInt8]) {
            self.number = number
            self.content = content
        }
    }

    /// The destination address of the frame.
    public var destination = MACAddress(rawValue: 0x0200_0000_0002)
    /// The source address of the frame.
    public var source = MACAddress(rawValue: 0x0200_0000_0001)
    /// Tag protocol and tag control of each VLAN tag, the outer first.
    public var tags: [(protocol: UInt16, control: UInt16)] = []
    /// IPv6, or IPv4.
    public var isIPv6 = false
    /// Addresses of the host that sends and the one that receives, 16 bytes; IPv4 takes the last 4.
    public var sourceHost = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF, 10, 0, 0, 1]
    /// See `sourceHost`.
    public var destinationHost = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF, 10, 0, 0, 2]
    /// The address that stands in the IPv6 header while the packet is on a route to its
    /// destination.
    public var nextStop: [UInt8]?
    /// The type of service, or traffic class.
    public var trafficClass: UInt8 = 0
    /// The IPv6 flow label.
    public var flowLabel: UInt32 = 0
    /// The IPv4 identification.
    public var identification: UInt16 = 0
    /// The IPv4 flags and fragment offset.
    public var fragment: UInt16 = 0x4000
    /// Time to live, or hop limit.
    public var hopLimit: UInt8 = 64
    /// IPv4 options, a multiple of 4 bytes.
    public var networkOptions: [UInt8] = []
    /// IPv6 extension headers.
    public var extensions: [Extension] = []
    /// TCP or UDP.
    public var transport = Transport.tcp
    /// The port that sends.
    public var sourcePort: UInt16 = 40_000
    /// The port that receives.
    public var destinationPort: UInt16 = 5201
    /// The sequence number of TCP.
    public var sequence: UInt32 = 1
    /// The acknowledgement number of TCP.
    public var acknowledgement: UInt32 = 1
    /// The flags of TCP.
    public var flags: UInt8 = 0x10
    /// The four reserved bits of TCP, the lowest of which is AE.
    public var reserved: UInt8 = 0
    /// The window of TCP.
    public var window: UInt16 = 500
    /// The urgent pointer of TCP.
    public var urgent: UInt16 = 0
    /// TCP options, a multiple of 4 bytes.
    public var transportOptions: [UInt8] = []
    /// The checksum of TCP or UDP.
    public var checksum = Checksum.complete
    /// What TCP or UDP carry.
    public var payload: [UInt8] = []
    /// Bytes behind the IP packet.
    public var padding: [UInt8] = []

    /// A TCP segment over IPv4 without options and payload.
    public init() {}

    /// The first byte of the IP header.
    public var network: Int { 14 + 4 * tags.count }

    /// The first byte of the TCP or UDP header.
    public var transportStart: Int {
        guard isIPv6 else { return network + 20 + networkOptions.count }
        return network + 40 + extensions.reduce(0) { $0 + 2 + $1.content.count }
    }

    /// Bytes of all headers.
    public var headerLength: Int {
        transportStart + (transport == .tcp ? 20 + transportOptions.count : 8)
    }

    /// Where the checksum lies, from the first byte of the TCP or UDP header.
    public var checksumOffset: Int { transport == .tcp ? 16 : 6 }

    /// Bytes of the frame.
    public var length: Int { headerLength + payload.count + padding.count }

    /// The frame.
    public var bytes: [UInt8] {
        var frame: [UInt8] = []
        frame.reserveCapacity(length)
        frame.append(wire: destination.rawValue, count: 6)
        frame.append(wire: source.rawValue, count: 6)
        for tag in tags {
            frame.append(wire: UInt64(tag.protocol), count: 2)
            frame.append(wire: UInt64(tag.control), count: 2)
        }
        frame.append(wire: isIPv6 ? 0x86DD : 0x0800, count: 2)
        let segment = transportBytes
        frame += isIPv6 ? ipv6Header(before: segment.count) : ipv4Header(before: segment.count)
        return frame + segment + padding
    }

    /// The sum of the pseudo-header, folded.
    public var pseudoHeaderSum: UInt16 {
        var pseudo = isIPv6 ? sourceHost + destinationHost : Array(sourceHost[12...])
        if !isIPv6 { pseudo += destinationHost[12...] }
        pseudo.append(wire: UInt64(length - padding.count - transportStart), count: 4)
        pseudo.append(wire: UInt64(transport.rawValue), count: 4)
        return naiveSum(pseudo)
    }

    private func ipv4Header(before transportLength: Int) -> [UInt8] {
        var header = [0x40 | UInt8(5 + networkOptions.count / 4), trafficClass]
        let total = 20 + networkOptions.count + transportLength
        header.append(wire: UInt64(total), count: 2)
        header.append(wire: UInt64(identification), count: 2)
        header.append(wire: UInt64(fragment), count: 2)
        header += [hopLimit, transport.rawValue, 0, 0]
        header += sourceHost[12...]
        header += destinationHost[12...]
        header += networkOptions
        header.store(wire: ~naiveSum(header), at: 10)
        return header
    }

    private func ipv6Header(before transportLength: Int) -> [UInt8] {
        let first = 6 << 28 | UInt32(trafficClass) << 20 | flowLabel & 0xF_FFFF
        var header: [UInt8] = []
        header.append(wire: UInt64(first), count: 4)
        let chain = extensions.reduce(0) { $0 + 2 + $1.content.count }
        header.append(wire: UInt64(chain + transportLength), count: 2)
        header += [extensions.first?.number ?? transport.rawValue, hopLimit]
        header += sourceHost
        header += nextStop ?? destinationHost
        for (index, item) in extensions.enumerated() {
            let isLast = index == extensions.count - 1
            header.append(isLast ? transport.rawValue : extensions[index + 1].number)
            header.append(UInt8((item.content.count + 2) / 8 - 1))
            header += item.content
        }
        return header
    }

    /// The TCP or UDP header and the payload.
    private var transportBytes: [UInt8] {
        var segment: [UInt8] = []
        segment.append(wire: UInt64(sourcePort), count: 2)
        segment.append(wire: UInt64(destinationPort), count: 2)
        switch transport {
        case .tcp:
            segment.append(wire: UInt64(sequence), count: 4)
            segment.append(wire: UInt64(acknowledgement), count: 4)
            let words = UInt8(5 + transportOptions.count / 4)
            segment += [words << 4 | reserved, flags]
            segment.append(wire: UInt64(window), count: 2)
            segment += [0, 0]
            segment.append(wire: UInt64(urgent), count: 2)
            segment += transportOptions
        case .udp:
            segment.append(wire: UInt64(8 + payload.count), count: 2)
            segment += [0, 0]
        }
        segment += payload
        segment.store(wire: checksumField(of: segment), at: checksumOffset)
        return segment
    }

    private func checksumField(of segment: [UInt8]) -> UInt16 {
        let pseudo = pseudoHeaderSum
        let complete = ~naiveAdd(pseudo, naiveSum(segment))
        switch checksum {
        case .complete: return complete == 0 ? 0xFFFF : complete
        case .partial: return pseudo
        case .wrong(let difference): return naiveAdd(complete, difference)
        case .zero: return 0
        }
    }
}

/// The ones' complement sum of 16-bit words in network byte order, byte by byte as RFC 1071 says
/// it.
public func naiveSum(_ bytes: some Sequence<UInt8>) -> UInt16 {
    var sum: UInt64 = 0
    var isHigh = true
    for byte in bytes {
        sum += isHigh ? UInt64(byte) << 8 : UInt64(byte)
        isHigh.toggle()
    }
    while sum > 0xFFFF { sum = (sum & 0xFFFF) + (sum >> 16) }
    return UInt16(sum)
}

/// The ones' complement sum of two words.
public func naiveAdd(_ first: UInt16, _ second: UInt16) -> UInt16 {
    let sum = UInt32(first) + UInt32(second)
    return UInt16((sum & 0xFFFF) + (sum >> 16))
}

extension [UInt8] {
    /// Appends the low `count` bytes of `value`, the highest first.
    mutating func append(wire value: UInt64, count: Int) {
        for position in (0..<count).reversed() {
            append(UInt8(truncatingIfNeeded: value >> UInt64(8 * position)))
        }
    }

    /// Replaces two bytes by `value`, the higher first.
    public mutating func store(wire value: UInt16, at offset: Int) {
        self[offset] = UInt8(value >> 8)
        self[offset + 1] = UInt8(value & 0xFF)
    }

    /// The two bytes at `offset`, the higher first.
    public func wire(at offset: Int) -> UInt16 {
        UInt16(self[offset]) << 8 | UInt16(self[offset + 1])
    }
}

extension PacketBuilder {
    /// What cutting the packet into pieces of `size` bytes of payload must give.
    public func segments(of size: Int) -> [PacketBuilder] {
        let count = max(1, (payload.count + size - 1) / size)
        return (0..<count).map { index in
            var segment = self
            segment.payload = Array(payload[index * size..<min((index + 1) * size, payload.count)])
            segment.padding = []
            segment.identification = identification &+ UInt16(index)
            segment.sequence = sequence &+ UInt32(index * size)
            if index != 0 { segment.flags &= ~0x80 }
            if index != count - 1 { segment.flags &= ~0x09 }
            if case .partial = checksum { segment.checksum = .complete }
            return segment
        }
    }
}
