// Theory of operation
//
// An Ethernet frame without FCS begins, at these byte offsets and in network byte order:
//
//      0       6       12    14    16    18
//      | dst   | src   | type| payload ...                    untagged: 14 bytes of header
//      | dst   | src   | TPID| TCI | type| payload ...        one VLAN tag: 18 bytes of header
//
// The length is compared once; afterwards two overlapping 8-byte loads fetch everything: bytes
// 0..<8 hold the destination, bytes 6..<14 the source and the type. Both lie inside the 14 bytes
// that the guard has proved. Only the first tag is read: of a doubly tagged frame the outer tag
// decides, and `etherType` is then the inner TPID.

/// The addresses, type and VLAN of one frame.
@frozen
public struct FrameHeader: Equatable, Sendable {
    /// Where the frame wants to go.
    public let destination: MACAddress
    /// Who sent it.
    public let source: MACAddress
    /// The type, or length, field after the VLAN tag if there is one.
    public let etherType: UInt16
    /// The VLAN identifier, 1...4095; 0 for untagged and priority-tagged frames.
    public let vlan: UInt16
    /// True if the frame carries a VLAN tag, also one with identifier 0.
    public let isTagged: Bool

    /// Bytes of an untagged header: the shortest frame that is one.
    @inlinable
    public static var lengthMin: Int { @_noLocks get { 14 } }

    /// Bytes that a VLAN tag adds to a header.
    @inlinable
    public static var tagLength: Int { @_noLocks get { 4 } }

    /// Reads the header at `bytes`, of which `length` may be read.
    /// - Returns: `nil` if the frame is shorter than its header: 14 bytes, or 18 with a VLAN tag
    ///   (TPID 0x8100 or 0x88A8).
    @inlinable
    @inline(__always)
    @_noLocks
    public init?(_ bytes: UnsafeRawPointer, length: Int) {
        guard length >= 14 else { return nil }
        let type = FrameHeader.wireType(bytes)
        if FrameHeader.isTagProtocol(type) {
            guard length >= 18 else { return nil }
        }
        self.init(unguarded: bytes)
    }

    /// Reads the header of a frame whose length an earlier `init?(_:length:)` has accepted.
    @inlinable
    @inline(__always)
    @_noLocks
    init(unguarded bytes: UnsafeRawPointer) {
        let head = UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
        let tail = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt64.self))
        destination = MACAddress(known48Bits: head >> 16)
        source = MACAddress(known48Bits: tail >> 16)
        let type = UInt16(truncatingIfNeeded: tail)
        if FrameHeader.isTagProtocol(type) {
            let tag = UInt32(
                bigEndian: bytes.loadUnaligned(fromByteOffset: 14, as: UInt32.self))
            vlan = UInt16(truncatingIfNeeded: tag >> 16) & 0x0FFF
            etherType = UInt16(truncatingIfNeeded: tag)
            isTagged = true
        } else {
            vlan = 0
            etherType = type
            isTagged = false
        }
    }

    /// The 16 bits after the addresses; the caller has proved that 14 bytes are readable.
    @inlinable
    @_noLocks
    static func wireType(_ bytes: UnsafeRawPointer) -> UInt16 {
        UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt16.self))
    }

    /// True for the TPIDs of a C-tag (0x8100) and an S-tag (0x88A8), IEEE 802.1Q.
    @inlinable
    @_noLocks
    static func isTagProtocol(_ type: UInt16) -> Bool {
        type == 0x8100 || type == 0x88A8
    }
}
