/// A 48-bit Ethernet address, held as a number whose most significant octet is the first on the
/// wire.
///
/// So `02:00:00:00:00:01` is `0x0200_0000_0001`: comparing and hashing are integer operations, and
/// the group bit is bit 40. The upper 16 bits are always zero.
@frozen
public struct MACAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address in the low 48 bits.
    public let rawValue: UInt64

    /// Takes the low 48 bits of `rawValue`; the others are ignored.
    @inlinable
    @_noLocks
    public init(rawValue: UInt64) {
        self.rawValue = rawValue & 0xFFFF_FFFF_FFFF
    }

    /// For values whose upper 16 bits are known to be zero.
    @inlinable
    @_noLocks
    init(known48Bits rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Parses six two-digit hexadecimal octets separated throughout by `:` or throughout by `-`.
    /// - Returns: `nil` for any other text.
    public init?(_ text: String) {
        let characters = Array(text.utf8)
        guard characters.count == 17 else { return nil }
        let separator = characters[2]
        guard separator == UInt8(ascii: ":") || separator == UInt8(ascii: "-") else { return nil }
        var value: UInt64 = 0
        for (position, character) in characters.enumerated() {
            if position % 3 == 2 {
                guard character == separator else { return nil }
                continue
            }
            guard let digit = Self.hexadecimalDigit(character) else { return nil }
            value = value << 4 | digit
        }
        self.init(rawValue: value)
    }

    /// ff:ff:ff:ff:ff:ff.
    @inlinable
    public static var broadcast: MACAddress { MACAddress(known48Bits: 0xFFFF_FFFF_FFFF) }

    /// True for multicast and broadcast addresses: the I/G bit, lowest of the first octet, is set.
    @inlinable
    public var isGroup: Bool { @_noLocks get { rawValue & 0x0100_0000_0000 != 0 } }

    /// True for ff:ff:ff:ff:ff:ff.
    @inlinable
    public var isBroadcast: Bool { @_noLocks get { rawValue == 0xFFFF_FFFF_FFFF } }

    /// True for 00:00:00:00:00:00, which no station owns.
    @inlinable
    public var isZero: Bool { @_noLocks get { rawValue == 0 } }

    /// True for 01-80-C2-00-00-00 to 01-80-C2-00-00-0F, which a bridge never relays.
    ///
    /// Source: IEEE 802.1Q, reserved addresses of a customer bridge.
    @inlinable
    public var isReserved: Bool { @_noLocks get { rawValue & ~0xF == 0x0180_C200_0000 } }

    /// Lower-case hexadecimal octets separated by colons.
    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(17)
        for shift in stride(from: 40, through: 0, by: -8) {
            let octet = Int(truncatingIfNeeded: rawValue >> UInt64(shift)) & 0xFF
            text.append(digits[octet >> 4])
            text.append(digits[octet & 0xF])
            if shift > 0 { text.append(UInt8(ascii: ":")) }
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func hexadecimalDigit(_ character: UInt8) -> UInt64? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(character - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(character - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt64(character - UInt8(ascii: "A") + 10)
        default: nil
        }
    }
}
