// Theory of operation
//
// A frame from a port with offload is inspected once, before it is classified. Afterwards its
// header is true: whatever it asks for can be done inside the frame, without checking again.
//
//   vnet   The peer wrote the header. It is a claim of a stranger, held against the packet's own
//          headers. What the header does not need is set to zero, so that `isPlain` is one compare.
//   raw    Nobody wrote a header; a guest whose checksums are left to others sends the sum of the
//          pseudo-header where the checksum belongs. Such a frame is recognised by exactly that. A
//          complete checksum has the same value once in 65,535 frames: completing it yields the
//          value it has, so that the mistake does no harm.
//
// Padding behind the IP packet is no part of a raw frame's checksum, but for a kernel that reads
// the header every byte to the end of the frame is. No header says both, so the partial checksum of
// a padded frame is completed at once. Such frames are short.

/// What inspecting a frame found.
public enum Inspection: Sendable {
    /// The header is true.
    case fine
    /// The header claims what is not so: a lie, or nothing that this switch understands.
    case invalid
    /// The frame is longer than its port may send.
    case oversize
}

/// Longest frame that may come to be cut: what libkrun and the kernel can send, in bytes.
private var lengthMax: Int { @_noLocks get { 65_550 } }

/// Holds the header before a frame from a vnet port against the frame, and makes it canonical.
///
/// Thread safety: the caller owns the frame.
/// - Parameters:
///   - frame: `length` bytes, and before it the header's 12 bytes.
///   - maxFrame: longest frame of the port in bytes; a frame to be cut may have 65,550.
@_noLocks
public func inspectVnet(
    _ frame: UnsafeMutableRawPointer, length: Int, maxFrame: Int
) -> Inspection {
    if VirtioNetHeader.isPlain(before: frame) {
        (frame - 4).storeBytes(of: 0, as: UInt32.self)
        return length <= maxFrame ? .fine : .oversize
    }
    var header = VirtioNetHeader.load(before: frame)
    header.flags &= VirtioNetHeader.needsChecksum | VirtioNetHeader.dataValid
    header.bufferCount = 0
    if header.needsChecksum {
        let field = Int(header.checksumStart) &+ Int(header.checksumOffset)
        guard Int(header.checksumStart) >= FrameHeader.lengthMin, field &+ 2 <= length else {
            return .invalid
        }
    } else {
        header.checksumStart = 0
        header.checksumOffset = 0
    }
    if header.gsoType == VirtioNetHeader.gsoNone {
        guard length <= maxFrame else { return .oversize }
        header.headerLength = 0
        header.gsoSize = 0
    } else {
        guard let headerLength = trueHeaderLength(frame, length: length, header) else {
            return .invalid
        }
        header.headerLength = headerLength
    }
    header.store(before: frame)
    return .fine
}

/// The bytes of all headers of a frame to be cut, or `nil` if it is not what its header says.
@inline(__always)
@_noLocks
private func trueHeaderLength(
    _ frame: UnsafeRawPointer, length: Int, _ header: VirtioNetHeader
) -> UInt16? {
    guard header.gsoSize > 0, length <= lengthMax,
        let layout = PacketLayout(frame, length: length)
    else { return nil }
    if layout.isTCP {
        let type = layout.isIPv6 ? VirtioNetHeader.gsoTCPv6 : VirtioNetHeader.gsoTCPv4
        guard header.gsoType & ~VirtioNetHeader.gsoECN == type else { return nil }
    } else {
        guard header.gsoType == VirtioNetHeader.gsoUDPL4 else { return nil }
    }
    if header.needsChecksum {
        guard Int(header.checksumStart) == layout.transport,
            Int(header.checksumOffset) == layout.checksumOffset
        else { return nil }
    }
    return UInt16(truncatingIfNeeded: layout.payload)
}

/// Writes the header of a frame from a raw port: whether its checksum is partial, and that it may
/// be cut.
///
/// A frame that cannot be parsed gets a header that asks for nothing. A partial checksum is
/// recognised in whole TCP segments and UDP datagrams whose lengths agree; that of a frame with
/// padding is completed here. UDP without a checksum stays so.
///
/// Thread safety: the caller owns the frame.
/// - Parameter frame: `length` bytes, and before it room for the header's 12 bytes.
@_noLocks
public func inspectRaw(_ frame: UnsafeMutableRawPointer, length: Int) {
    var header = VirtioNetHeader()
    header.bufferCount = 1
    if let layout = PacketLayout(frame, length: length) {
        let field = layout.transport &+ layout.checksumOffset
        let checksum = frame.loadUnaligned(fromByteOffset: field, as: UInt16.self)
        if checksum == InternetChecksum.fold(layout.pseudoHeaderSum(frame)) {
            if layout.end == length {
                header.flags = VirtioNetHeader.needsChecksum
                header.checksumStart = UInt16(truncatingIfNeeded: layout.transport)
                header.checksumOffset = UInt16(truncatingIfNeeded: layout.checksumOffset)
            } else {
                completePadded(frame, layout)
            }
        }
    }
    header.store(before: frame)
}

/// Completes a partial checksum that no header could describe.
@inline(never)
@_noLocks
private func completePadded(_ frame: UnsafeMutableRawPointer, _ layout: PacketLayout) {
    storeChecksum(
        frame, from: layout.transport, to: layout.end,
        field: layout.transport &+ layout.checksumOffset)
}
