/// Telling the receiver of a packet that it met congestion.
public enum CongestionMark {
    private static var experienced: UInt8 { @_noLocks get { 3 } }

    /// Marks a frame of `length` bytes whose flow says that it heeds marks.
    /// - Returns: whether the frame is marked now; false, and nothing is changed, if it is not IP
    ///   or its flow knows no marks.
    ///
    /// Source: RFC 3168, section 5; RFC 1624, equation 3.
    @_noLocks
    public static func mark(_ frame: UnsafeMutableRawPointer, length: Int) -> Bool {
        guard let network = NetworkHeader(frame, length: length) else { return false }
        switch network.version {
        case .four: return markVersion4(frame + network.offset)
        case .six: return markVersion6(frame + network.offset)
        }
    }

    @_noLocks
    private static func markVersion4(_ header: UnsafeMutableRawPointer) -> Bool {
        let type = header.load(fromByteOffset: 1, as: UInt8.self)
        guard type & experienced != 0 else { return false }
        guard type & experienced != experienced else { return true }
        let before = UnsafeRawPointer(header).wireWord(at: 0)
        let after = before | UInt16(experienced)
        header.storeBytes(of: type | experienced, toByteOffset: 1, as: UInt8.self)
        let checksum = UnsafeRawPointer(header).wireWord(at: 10)
        let sum = UInt64(~checksum) &+ UInt64(~before) &+ UInt64(after)
        header.storeBytes(
            of: (~InternetChecksum.fold(sum)).bigEndian, toByteOffset: 10, as: UInt16.self)
        return true
    }

    @_noLocks
    private static func markVersion6(_ header: UnsafeMutableRawPointer) -> Bool {
        // The traffic class lies across the first two bytes; its last two bits are bits 5 and 4 of
        // the second.
        let second = header.load(fromByteOffset: 1, as: UInt8.self)
        guard second >> 4 & experienced != 0 else { return false }
        header.storeBytes(of: second | experienced << 4, toByteOffset: 1, as: UInt8.self)
        return true
    }
}
