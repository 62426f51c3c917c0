// Where an IP header lies in a frame, for those who look no deeper than that.

/// The IP header of a frame.
struct NetworkHeader {
    enum Version { case four, six }

    /// Its first byte, from that of the frame.
    let offset: Int
    let version: Version
    /// Bytes of the header, without the extension headers of version 6.
    let length: Int

    /// Finds the header behind at most two VLAN tags.
    /// - Returns: `nil` if the frame of `length` readable bytes is not IP, or ends in the header.
    ///
    /// Source: RFC 791, section 3.1; RFC 8200, section 3.
    @_noLocks
    init?(_ frame: UnsafeRawPointer, length: Int) {
        guard length >= FrameHeader.lengthMin else { return nil }
        var start = FrameHeader.lengthMin
        var type = frame.wireWord(at: 12)
        var tagsLeft = 2
        while FrameHeader.isTagProtocol(type) {
            guard tagsLeft > 0, length >= start &+ FrameHeader.tagLength else { return nil }
            type = frame.wireWord(at: start &+ 2)
            start &+= FrameHeader.tagLength
            tagsLeft &-= 1
        }
        offset = start
        switch type {
        case 0x0800:
            guard length >= start &+ 20 else { return nil }
            let first = frame.byte(at: start)
            let headerLength = (first & 0xF) &* 4
            guard first >> 4 == 4, headerLength >= 20, length >= start &+ headerLength else {
                return nil
            }
            version = .four
            self.length = headerLength
        case 0x86DD:
            guard length >= start &+ 40, frame.byte(at: start) >> 4 == 6 else { return nil }
            version = .six
            self.length = 40
        default: return nil
        }
    }
}
