// Theory of operation
//
// A large TCP frame, or several UDP datagrams in one, become frames that an egress can take. The
// payload stays where it is: of each segment only the headers are written, into memory of the
// caller, and both are sent together. Segment i carries the payload from i * size on:
//
//      IPv4        total length; identification + i; header checksum
//      IPv6        payload length
//      TCP         sequence number + i * size; FIN and PSH on the last only, CWR on the first only
//      UDP         length
//      both        checksum over pseudo-header, header and the segment's payload
//
// All else is copied. A packet whose urgent pointer or SYN would have to move is not cut.
//
// Everything that is equal in all segments is summed once, in `init`. For a segment only what
// changes and its payload are added.
//
// The sum of the pseudo-header is not read from the addresses but from the checksum: a partial one
// is that sum, and a complete one tells it, being the complement of it and the sum of all the rest.
// So whatever is wrong with a frame's checksum is wrong with that of each segment: a frame that was
// damaged on its way does not leave the switch with a good checksum. Only the complete one, which
// is rare (who leaves the cutting to others leaves the checksum, too), costs a pass over the
// payload.

/// How a frame is cut for an egress that takes neither its length nor its header.
@frozen
public struct Segmentation: Sendable {
    /// Number of segments, at least one.
    public let count: Int
    /// Bytes of the headers of each segment.
    public let headerLength: Int
    /// Bytes of payload of all segments but the last.
    public let segmentSize: Int

    /// Payload of all segments, in bytes; more than none if there is more than one.
    @usableFromInline let payloadLength: Int
    /// Where the IP header begins.
    let network: Int
    /// Where the TCP or UDP header begins.
    let transport: Int
    let isIPv6: Bool
    let isTCP: Bool
    /// False for UDP without a checksum.
    let hasChecksum: Bool
    /// The flags of TCP before any are taken away.
    let flags: UInt8
    /// Sum of the IPv4 header without total length, identification and checksum.
    let networkSum: UInt64
    /// Sum of the pseudo-header without its length, and the TCP or UDP header without what changes:
    /// sequence number, flags (and data offset), UDP length, checksum.
    let transportSum: UInt64
    /// The identification of IPv4.
    let identification: UInt16
    /// The sequence number of the first segment.
    let sequence: UInt32

    /// Longest headers that are copied to each segment, in bytes.
    @inlinable
    public static var headerLengthMax: Int { @_noLocks get { 256 } }

    /// Most segments that a frame is cut into; 64 KiB in pieces of 64 bytes.
    @inlinable
    public static var countMax: Int { @_noLocks get { 1024 } }

    /// Finds out how to cut a frame for segments of at most `mtu` bytes of IP packet and `maxFrame`
    /// bytes of frame.
    ///
    /// Where the header names a size, TCP is cut no larger, and UDP exactly so.
    /// - Parameter frame: `length` bytes and before it the header's 12 bytes.
    /// - Returns: `nil` if the frame cannot be cut: it came whole from a port whose peer leaves
    ///   nothing to others, neither TCP nor several UDP datagrams, a fragment, headers that do not
    ///   agree or are longer than `headerLengthMax`, urgent data, SYN, UDP datagrams that do not
    ///   fit, more than `countMax` segments.
    /// - Precondition: `inspectVnet` has found the header fine, or `inspectRaw` has written it.
    @_noLocks
    public init?(_ frame: UnsafeRawPointer, length: Int, mtu: Int, maxFrame: Int) {
        let header = VirtioNetHeader.load(before: frame)
        guard let layout = PacketLayout(frame, length: length),
            layout.payload <= Segmentation.headerLengthMax
        else { return nil }
        let payloadLength = layout.end &- layout.payload
        var size = layout.payloadMax(mtu: mtu, maxFrame: maxFrame)
        let flags: UInt8
        if layout.isTCP {
            flags = layout.flags(frame)
            guard flags & (TCPFlags.urg | TCPFlags.syn) == 0 else { return nil }
            guard header.isTCP || header.mayBeCut else { return nil }
            if header.isTCP { size = min(size, Int(header.gsoSize)) }
        } else {
            flags = 0
            let wanted = Int(header.gsoSize)
            guard header.gsoType == VirtioNetHeader.gsoUDPL4,
                min(wanted, payloadLength) <= size
            else { return nil }
            size = wanted
        }
        guard size > 0, payloadLength <= size &* Segmentation.countMax else { return nil }
        count = max(1, (payloadLength &+ size &- 1) / size)
        headerLength = layout.payload
        segmentSize = size
        self.payloadLength = payloadLength
        network = layout.network
        transport = layout.transport
        isIPv6 = layout.isIPv6
        isTCP = layout.isTCP
        self.flags = flags
        identification = layout.isIPv6 ? 0 : frame.wireWord(at: layout.network &+ 4)
        sequence =
            layout.isTCP
            ? UInt32(
                bigEndian: frame.loadUnaligned(
                    fromByteOffset: layout.transport &+ 4, as: UInt32.self)) : 0
        networkSum = layout.isIPv6 ? 0 : Segmentation.networkSum(frame, layout)
        let field = frame.loadUnaligned(
            fromByteOffset: layout.transport &+ layout.checksumOffset, as: UInt16.self)
        hasChecksum = layout.isTCP || field != 0 || header.needsChecksum
        transportSum =
            Segmentation.impliedSum(frame, layout, isPartial: header.needsChecksum)
            &+ Segmentation.transportHeaderSum(frame, layout)
    }

    /// The payload of segment `index`: where it lies in the frame, and its bytes.
    @inlinable
    @inline(__always)
    @_noLocks
    public func payload(of index: Int) -> (offset: Int, length: Int) {
        let start = index &* segmentSize
        return (headerLength &+ start, min(segmentSize, payloadLength &- start))
    }
}

extension Segmentation {
    /// The sum of an IPv4 header, options included, without total length, identification, checksum.
    @inline(__always)
    @_noLocks
    private static func networkSum(_ frame: UnsafeRawPointer, _ layout: PacketLayout) -> UInt64 {
        let start = frame + layout.network
        return UInt64(start.loadUnaligned(as: UInt16.self))
            &+ UInt64(start.loadUnaligned(fromByteOffset: 6, as: UInt32.self))
            &+ InternetChecksum.sum(
                start + 12, count: layout.transport &- layout.network &- 12)
    }

    /// The sum of a TCP or UDP header without what differs between segments.
    @inline(__always)
    @_noLocks
    private static func transportHeaderSum(
        _ frame: UnsafeRawPointer, _ layout: PacketLayout
    ) -> UInt64 {
        let start = frame + layout.transport
        let ports = UInt64(start.loadUnaligned(as: UInt32.self))
        guard layout.isTCP else { return ports }
        // Acknowledgement number; window; urgent pointer and options.
        return ports &+ UInt64(start.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
            &+ UInt64(start.loadUnaligned(fromByteOffset: 14, as: UInt16.self))
            &+ InternetChecksum.sum(
                start + 18, count: layout.payload &- layout.transport &- 18)
    }

    /// The sum of the pseudo-header without its length, as the checksum implies it.
    @inline(__always)
    @_noLocks
    private static func impliedSum(
        _ frame: UnsafeRawPointer, _ layout: PacketLayout, isPartial: Bool
    ) -> UInt64 {
        let length = UInt16(truncatingIfNeeded: layout.transportLength).bigEndian
        let whole: UInt16
        if isPartial {
            whole = frame.loadUnaligned(
                fromByteOffset: layout.transport &+ layout.checksumOffset, as: UInt16.self)
        } else {
            whole =
                ~InternetChecksum.fold(
                    InternetChecksum.sum(frame + layout.transport, count: layout.transportLength))
        }
        // To subtract is to add the complement.
        return UInt64(whole) &+ UInt64(~length)
    }

    /// Writes the headers of segment `index`, `headerLength` bytes, complete with checksums.
    ///
    /// Thread safety: reads the frame, writes `scratch` only.
    /// - Parameters:
    ///   - frame: the frame that this was made from, unchanged since.
    ///   - scratch: memory that does not overlap the frame.
    /// - Precondition: 0 <= `index` < `count`.
    @_noLocks
    public func writeHeader(
        of index: Int, frame: UnsafeRawPointer, to scratch: UnsafeMutableRawPointer
    ) {
        let (offset, length) = payload(of: index)
        scratch.copyMemory(from: frame, byteCount: headerLength)
        let packetLength = headerLength &- network &+ length
        if isIPv6 {
            scratch.storeWire(packetLength &- 40, at: network &+ 4)
        } else {
            writeIPv4(scratch, index: index, packetLength: packetLength)
        }
        let transportLength = headerLength &- transport &+ length
        var sum = transportSum &+ UInt64(UInt16(truncatingIfNeeded: transportLength).bigEndian)
        if isTCP {
            sum &+= writeTCP(scratch, index: index)
        } else {
            scratch.storeWire(transportLength, at: transport &+ 4)
            guard hasChecksum else { return }
            sum &+= UInt64(UInt16(truncatingIfNeeded: transportLength).bigEndian)
        }
        sum &+= InternetChecksum.sum(frame + offset, count: length)
        scratch.storeBytes(
            of: InternetChecksum.transportChecksum(sum),
            toByteOffset: transport &+ (isTCP ? 16 : 6), as: UInt16.self)
    }

    @inline(__always)
    @_noLocks
    private func writeIPv4(_ scratch: UnsafeMutableRawPointer, index: Int, packetLength: Int) {
        let number = identification &+ UInt16(truncatingIfNeeded: index)
        let totalLength = UInt16(truncatingIfNeeded: packetLength)
        let sum = networkSum &+ UInt64(number.bigEndian) &+ UInt64(totalLength.bigEndian)
        scratch.storeBytes(
            of: totalLength.bigEndian, toByteOffset: network &+ 2, as: UInt16.self)
        scratch.storeBytes(of: number.bigEndian, toByteOffset: network &+ 4, as: UInt16.self)
        scratch.storeBytes(
            of: ~InternetChecksum.fold(sum), toByteOffset: network &+ 10, as: UInt16.self)
    }

    /// Writes sequence number and flags, and returns the sum of both.
    @inline(__always)
    @_noLocks
    private func writeTCP(_ scratch: UnsafeMutableRawPointer, index: Int) -> UInt64 {
        let number = sequence &+ UInt32(truncatingIfNeeded: index &* segmentSize)
        scratch.storeBytes(of: number.bigEndian, toByteOffset: transport &+ 4, as: UInt32.self)
        var flags = self.flags
        if index != 0 { flags &= ~TCPFlags.cwr }
        if index != count &- 1 { flags &= ~(TCPFlags.fin | TCPFlags.psh) }
        scratch.storeBytes(of: flags, toByteOffset: transport &+ 13, as: UInt8.self)
        let offsetAndFlags = scratch.loadUnaligned(
            fromByteOffset: transport &+ 12, as: UInt16.self)
        return UInt64(number.bigEndian) &+ UInt64(offsetAndFlags)
    }
}

extension UnsafeMutableRawPointer {
    /// Stores the low 16 bits of `value` in network byte order.
    @inline(__always)
    @_noLocks
    fileprivate func storeWire(_ value: Int, at offset: Int) {
        storeBytes(
            of: UInt16(truncatingIfNeeded: value).bigEndian, toByteOffset: offset, as: UInt16.self)
    }
}
