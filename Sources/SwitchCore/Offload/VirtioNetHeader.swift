// Theory of operation
//
// Before every frame in the memory of the data plane lie 12 bytes in native byte order, the struct
// virtio_net_hdr_v1 of linux/virtio_net.h, which say what is left to do with the frame:
//
//      -12    -11       -10      -8        -6           -4            -2            0
//      | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset | num_buffers | frame
//
// A TAP device with IFF_VNET_HDR reads and writes them so. All zero: nothing is left to do. Offsets
// count from the frame's first byte. `num_buffers` means nothing inside the switch, and so holds
// the mark of frames that came without a header of their own: see `mayBeCut`.

/// What is left to do with a frame: complete its checksum, cut it into segments.
///
/// Source: struct virtio_net_hdr_v1 in linux/virtio_net.h; Virtual I/O Device 1.2, section 5.1.6.
@frozen
public struct VirtioNetHeader: Equatable, Sendable {
    /// `needsChecksum`, `dataValid`, or 0.
    public var flags: UInt8
    /// One of the constants `gso...`, for TCP also with the bit `gsoECN`.
    public var gsoType: UInt8
    /// Bytes of all headers; 0 unless the frame is to be cut.
    public var headerLength: UInt16
    /// Bytes of payload in every segment but the last.
    public var gsoSize: UInt16
    /// Where the sum begins, in bytes from the frame's first.
    public var checksumStart: UInt16
    /// Where the checksum is stored, in bytes from `checksumStart`.
    public var checksumOffset: UInt16
    /// 1 marks a frame that came without a header and may be cut to whatever fits; else 0.
    public var bufferCount: UInt16

    /// A header that asks for nothing.
    @inlinable
    @_noLocks
    public init() {
        flags = 0
        gsoType = 0
        headerLength = 0
        gsoSize = 0
        checksumStart = 0
        checksumOffset = 0
        bufferCount = 0
    }

    /// Bytes of the header.
    @inlinable
    public static var length: Int { @_noLocks get { 12 } }

    /// Flag: the checksum field holds only the sum of the pseudo-header.
    @inlinable
    public static var needsChecksum: UInt8 { @_noLocks get { 1 } }

    /// Flag: the sender vouches for the checksum.
    @inlinable
    public static var dataValid: UInt8 { @_noLocks get { 2 } }

    /// Type: one frame, not to be cut.
    @inlinable
    public static var gsoNone: UInt8 { @_noLocks get { 0 } }

    /// Type: TCP over IPv4.
    @inlinable
    public static var gsoTCPv4: UInt8 { @_noLocks get { 1 } }

    /// Type: one UDP datagram in fragments (UFO). The switch offers it to nobody and refuses it.
    @inlinable
    public static var gsoUDP: UInt8 { @_noLocks get { 3 } }

    /// Type: TCP over IPv6.
    @inlinable
    public static var gsoTCPv6: UInt8 { @_noLocks get { 4 } }

    /// Type: several UDP datagrams (UDP_SEGMENT). Source: linux/virtio_net.h, since Linux 6.2.
    @inlinable
    public static var gsoUDPL4: UInt8 { @_noLocks get { 5 } }

    /// Bit beside a TCP type: the CWR flag belongs to the first segment only.
    @inlinable
    public static var gsoECN: UInt8 { @_noLocks get { 0x80 } }

    /// True if the flags ask for the checksum.
    @inlinable
    public var needsChecksum: Bool {
        @_noLocks get { flags & VirtioNetHeader.needsChecksum != 0 }
    }

    /// True for TCP of either version, with or without the ECN bit.
    @inlinable
    public var isTCP: Bool {
        @_noLocks get {
            let type = gsoType & ~VirtioNetHeader.gsoECN
            return type == VirtioNetHeader.gsoTCPv4 || type == VirtioNetHeader.gsoTCPv6
        }
    }

    /// True for a frame that came without a header: it says not whether it is one segment or many,
    /// and may be cut to whatever the egress needs.
    @inlinable
    public var mayBeCut: Bool { @_noLocks get { bufferCount == 1 } }

    /// Reads the 12 bytes before `frame`, which needs no alignment.
    @inlinable
    @inline(__always)
    @_noLocks
    public static func load(before frame: UnsafeRawPointer) -> VirtioNetHeader {
        let start = frame - 12
        var header = VirtioNetHeader()
        header.flags = start.load(as: UInt8.self)
        header.gsoType = start.load(fromByteOffset: 1, as: UInt8.self)
        header.headerLength = start.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
        header.gsoSize = start.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
        header.checksumStart = start.loadUnaligned(fromByteOffset: 6, as: UInt16.self)
        header.checksumOffset = start.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
        header.bufferCount = start.loadUnaligned(fromByteOffset: 10, as: UInt16.self)
        return header
    }

    /// Writes the 12 bytes before `frame`, which needs no alignment.
    @inlinable
    @inline(__always)
    @_noLocks
    public func store(before frame: UnsafeMutableRawPointer) {
        let start = frame - 12
        start.storeBytes(of: flags, as: UInt8.self)
        start.storeBytes(of: gsoType, toByteOffset: 1, as: UInt8.self)
        start.storeBytes(of: headerLength, toByteOffset: 2, as: UInt16.self)
        start.storeBytes(of: gsoSize, toByteOffset: 4, as: UInt16.self)
        start.storeBytes(of: checksumStart, toByteOffset: 6, as: UInt16.self)
        start.storeBytes(of: checksumOffset, toByteOffset: 8, as: UInt16.self)
        start.storeBytes(of: bufferCount, toByteOffset: 10, as: UInt16.self)
    }

    /// True if nothing is left to do with an inspected frame: its first 8 bytes are zero.
    @inlinable
    @inline(__always)
    @_noLocks
    public static func isPlain(before frame: UnsafeRawPointer) -> Bool {
        frame.loadUnaligned(fromByteOffset: -12, as: UInt64.self) == 0
    }
}
