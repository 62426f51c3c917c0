// Completing a partial checksum: the field holds the sum of the pseudo-header, and so the sum over
// everything from the transport header to the end, field included, is that of the whole packet.

/// Completes the checksum if the header before the frame asks for it, in place, and takes the wish
/// out of the header.
///
/// A checksum of zero is written as 0xffff, the same number to TCP and the only one to UDP.
///
/// Thread safety: the caller owns the frame.
/// - Parameter frame: `length` bytes and before it the header's 12 bytes.
/// - Precondition: `inspectVnet` has found the header fine, or `inspectRaw` has written it.
@_noLocks
public func completeChecksum(_ frame: UnsafeMutableRawPointer, length: Int) {
    var header = VirtioNetHeader.load(before: frame)
    guard header.needsChecksum else { return }
    let start = Int(header.checksumStart)
    storeChecksum(frame, from: start, to: length, field: start &+ Int(header.checksumOffset))
    header.flags &= ~VirtioNetHeader.needsChecksum
    header.checksumStart = 0
    header.checksumOffset = 0
    header.store(before: frame)
}

/// Replaces the partial checksum at `field` by that of the bytes from `start` to `end`.
@inline(__always)
@_noLocks
func storeChecksum(_ frame: UnsafeMutableRawPointer, from start: Int, to end: Int, field: Int) {
    let sum = InternetChecksum.sum(frame + start, count: end &- start)
    frame.storeBytes(
        of: InternetChecksum.transportChecksum(sum), toByteOffset: field, as: UInt16.self)
}
