// Theory of operation
//
// A frame is walked once from its first byte, and every length in it is held against what is there
// before anything behind it is read:
//
//      0        network               transport         payload             end        length
//      | Ethernet, 0-2 tags | IPv4 or IPv6   | TCP or UDP      | payload ...       | padding |
//
// What comes out is a frame whose headers agree with each other and with its length. Everything
// else in this folder reads at these offsets without asking again. A frame that is not one whole
// TCP segment or UDP datagram, or lies anywhere, has no layout: nobody knows where its checksum is.

/// Where the parts of a TCP or UDP packet lie in a frame, in bytes from its first.
struct PacketLayout {
    /// The first byte of the IP header.
    let network: Int
    /// The first byte of the TCP or UDP header; always an even distance from `network`.
    let transport: Int
    /// The first byte behind all headers.
    let payload: Int
    /// The first byte behind the IP packet; what follows is padding.
    let end: Int
    /// The address that the pseudo-header names as the destination.
    let destination: Int
    /// True for IPv6, false for IPv4.
    let isIPv6: Bool
    /// True for TCP, false for UDP.
    let isTCP: Bool

    /// Most IPv6 extension headers that are walked; a longer chain has no layout.
    private static var extensionCountMax: Int { @_noLocks get { 8 } }

    /// Finds the parts of a frame of `length` readable bytes.
    /// - Returns: `nil` unless the frame carries a whole TCP segment or UDP datagram, IPv4 or IPv6,
    ///   behind at most two VLAN tags, and all lengths in its headers agree.
    @_noLocks
    init?(_ frame: UnsafeRawPointer, length: Int) {
        guard length >= FrameHeader.lengthMin else { return nil }
        var network = FrameHeader.lengthMin
        var type = frame.wireWord(at: 12)
        var tagsLeft = 2
        while FrameHeader.isTagProtocol(type) {
            guard tagsLeft > 0, length >= network &+ FrameHeader.tagLength else { return nil }
            type = frame.wireWord(at: network &+ 2)
            network &+= FrameHeader.tagLength
            tagsLeft &-= 1
        }
        switch type {
        case 0x0800: self.init(ipv4: frame, network: network, length: length)
        case 0x86DD: self.init(ipv6: frame, network: network, length: length)
        default: return nil
        }
    }

    /// Source: RFC 791, section 3.1.
    @inline(__always)
    @_noLocks
    private init?(ipv4 frame: UnsafeRawPointer, network: Int, length: Int) {
        guard length >= network &+ 20 else { return nil }
        let first = frame.byte(at: network)
        let headerLength = (first & 0xF) &* 4
        let totalLength = Int(frame.wireWord(at: network &+ 2))
        // The flag "more fragments" and the fragment offset.
        let fragment = frame.wireWord(at: network &+ 6) & 0x3FFF
        guard first >> 4 == 4, headerLength >= 20, totalLength >= headerLength,
            network &+ totalLength <= length, fragment == 0
        else { return nil }
        self.init(
            transport: frame, at: network &+ headerLength, end: network &+ totalLength,
            nextHeader: frame.byte(at: network &+ 9), network: network,
            destination: network &+ 16, isIPv6: false)
    }

    /// Source: RFC 8200, sections 3 and 4.
    @inline(__always)
    @_noLocks
    private init?(ipv6 frame: UnsafeRawPointer, network: Int, length: Int) {
        guard length >= network &+ 40 else { return nil }
        let end = network &+ 40 &+ Int(frame.wireWord(at: network &+ 4))
        guard frame.byte(at: network) >> 4 == 6, end <= length else { return nil }
        var nextHeader = frame.byte(at: network &+ 6)
        var offset = network &+ 40
        var destination = network &+ 24
        var extensionsLeft = PacketLayout.extensionCountMax
        // Hop-by-hop options, routing, destination options. All others end the walk without TCP or
        // UDP.
        while nextHeader == 0 || nextHeader == 43 || nextHeader == 60 {
            guard extensionsLeft > 0, offset &+ 8 <= end else { return nil }
            let extensionLength = (frame.byte(at: offset &+ 1) &+ 1) &* 8
            guard offset &+ extensionLength <= end else { return nil }
            // A packet on its way through a route: the last stop counts, not the next.
            if nextHeader == 43 && frame.byte(at: offset &+ 3) != 0 {
                guard
                    let last = PacketLayout.lastStop(frame, at: offset, length: extensionLength)
                else { return nil }
                destination = last
            }
            nextHeader = frame.byte(at: offset)
            offset &+= extensionLength
            extensionsLeft &-= 1
        }
        self.init(
            transport: frame, at: offset, end: end, nextHeader: nextHeader, network: network,
            destination: destination, isIPv6: true)
    }

    /// Where the last address of a routing header lies.
    ///
    /// Source: RFC 8200, section 4.4; RFC 2460, section 4.4 (type 0); RFC 6275, section 6.4 (2);
    /// RFC 8754, section 2 (4).
    @inline(never)
    @_noLocks
    private static func lastStop(_ frame: UnsafeRawPointer, at offset: Int, length: Int) -> Int? {
        guard length >= 24 else { return nil }
        switch frame.byte(at: offset &+ 2) {
        case 0: return offset &+ 8 &+ ((length &- 8) / 16 &- 1) &* 16
        case 2, 4: return offset &+ 8
        default: return nil
        }
    }

    /// Source: RFC 9293, section 3.1; RFC 768.
    @inline(__always)
    @_noLocks
    private init?(
        transport frame: UnsafeRawPointer, at transport: Int, end: Int, nextHeader: Int,
        network: Int, destination: Int, isIPv6: Bool
    ) {
        let headerLength: Int
        switch nextHeader {
        case 6:
            guard transport &+ 20 <= end else { return nil }
            headerLength = (frame.byte(at: transport &+ 12) >> 4) &* 4
            guard headerLength >= 20, transport &+ headerLength <= end else { return nil }
        case 17:
            guard transport &+ 8 <= end,
                Int(frame.wireWord(at: transport &+ 4)) == end &- transport
            else { return nil }
            headerLength = 8
        default: return nil
        }
        self.network = network
        self.transport = transport
        self.payload = transport &+ headerLength
        self.end = end
        self.destination = destination
        self.isIPv6 = isIPv6
        self.isTCP = nextHeader == 6
    }
}

extension PacketLayout {
    /// Where the checksum lies, from the first byte of the TCP or UDP header.
    var checksumOffset: Int { @_noLocks get { isTCP ? 16 : 6 } }

    /// Bytes of the TCP or UDP header and all behind it.
    var transportLength: Int { @_noLocks get { end &- transport } }

    /// The flags of TCP, `TCPFlags`.
    @inline(__always)
    @_noLocks
    func flags(_ frame: UnsafeRawPointer) -> UInt8 {
        frame.load(fromByteOffset: transport &+ 13, as: UInt8.self)
    }

    /// The sum of the pseudo-header: addresses, protocol and the length of what follows IP.
    @inline(__always)
    @_noLocks
    func pseudoHeaderSum(_ frame: UnsafeRawPointer) -> UInt64 {
        let addresses: UInt64
        if isIPv6 {
            addresses =
                InternetChecksum.sum(frame + network + 8, count: 16)
                &+ InternetChecksum.sum(frame + destination, count: 16)
        } else {
            addresses = InternetChecksum.sum(frame + network + 12, count: 8)
        }
        let nextHeader: UInt16 = isTCP ? 6 : 17
        return addresses &+ UInt64(nextHeader.bigEndian)
            &+ UInt64(UInt16(truncatingIfNeeded: transportLength).bigEndian)
    }

    /// Most payload in a segment of a packet of `mtu` bytes and a frame of `maxFrame`; may be
    /// negative.
    @inline(__always)
    @_noLocks
    func payloadMax(mtu: Int, maxFrame: Int) -> Int {
        min(mtu &- (payload &- network), maxFrame &- payload)
    }
}

/// The flags in byte 13 of a TCP header. Source: RFC 9293, section 3.1; RFC 3168, section 6.1.
enum TCPFlags {
    static var fin: UInt8 { @_noLocks get { 0x01 } }
    static var syn: UInt8 { @_noLocks get { 0x02 } }
    static var psh: UInt8 { @_noLocks get { 0x08 } }
    static var urg: UInt8 { @_noLocks get { 0x20 } }
    static var cwr: UInt8 { @_noLocks get { 0x80 } }
}

extension UnsafeRawPointer {
    /// The byte at `offset`, as a number to compute with.
    @inline(__always)
    @_noLocks
    func byte(at offset: Int) -> Int {
        Int(load(fromByteOffset: offset, as: UInt8.self))
    }

    /// The 16 bits at `offset`, which are in network byte order.
    @inline(__always)
    @_noLocks
    func wireWord(at offset: Int) -> UInt16 {
        UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }
}
