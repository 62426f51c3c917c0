// A vnet egress cuts frames itself, and wants to be told how: TCP is given a size of segments that
// fits, UDP cannot be cut differently from what its sender chose.
//
// One buffer may be on its way to several ports of a flood, each of which reads the header when the
// kernel sends it. So the size is only ever reduced: what fits a narrower port fits a wider one.

/// Makes the header before a frame fit an egress that cuts frames itself.
///
/// A frame to be cut as TCP gets a smaller `gsoSize` where its own is too large. A TCP frame from a
/// raw port that is too large becomes one to be cut.
///
/// Thread safety: the caller owns the frame, though sends of it may be under way.
/// - Parameters:
///   - frame: `length` bytes and before it the header's 12 bytes.
///   - mtu: longest IP packet of the egress in bytes.
///   - maxFrame: longest frame of the egress in bytes.
/// - Returns: false if the frame does not fit and cannot be cut so that it does.
/// - Precondition: `inspectVnet` has found the header fine, or `inspectRaw` has written it.
@_noLocks
public func fitForVnet(
    _ frame: UnsafeMutableRawPointer, length: Int, mtu: Int, maxFrame: Int
) -> Bool {
    var header = VirtioNetHeader.load(before: frame)
    let isCut = header.gsoType != VirtioNetHeader.gsoNone
    let isShort = length <= maxFrame
    if !isCut && isShort && (!header.mayBeCut || length &- FrameHeader.lengthMin <= mtu) {
        return true
    }
    guard isCut || header.mayBeCut, let layout = PacketLayout(frame, length: length) else {
        return !isCut && isShort
    }
    let sizeMax = layout.payloadMax(mtu: mtu, maxFrame: maxFrame)
    guard layout.isTCP else {
        let size = min(Int(header.gsoSize), layout.end &- layout.payload)
        return isCut ? size <= sizeMax : isShort
    }
    if !isCut {
        let flags = layout.flags(frame)
        if isShort && layout.end &- layout.payload <= sizeMax { return true }
        guard flags & (TCPFlags.urg | TCPFlags.syn) == 0 else { return isShort }
        header.gsoType = layout.isIPv6 ? VirtioNetHeader.gsoTCPv6 : VirtioNetHeader.gsoTCPv4
        if flags & TCPFlags.cwr != 0 { header.gsoType |= VirtioNetHeader.gsoECN }
        header.headerLength = UInt16(truncatingIfNeeded: layout.payload)
        header.gsoSize = .max
    }
    guard sizeMax > 0 else { return false }
    if Int(header.gsoSize) > sizeMax {
        header.gsoSize = UInt16(truncatingIfNeeded: sizeMax)
    }
    header.store(before: frame)
    return true
}
