/// An Ethernet frame as tests write it: untagged, padded to 60 bytes, with a number to tell it by.
struct TestFrame: Equatable, Sendable {
    static let broadcast = "ff:ff:ff:ff:ff:ff"

    /// The frame, destination address through payload, without FCS.
    let bytes: [UInt8]

    /// A frame between two addresses in the usual notation.
    /// - Parameter number: stands behind the header, in network byte order.
    init(
        to destination: String, from source: String, etherType: UInt16 = 0x88B5,
        number: UInt32 = 0, length: Int = 60
    ) {
        var bytes = Self.octets(destination) + Self.octets(source)
        bytes += [UInt8(etherType >> 8), UInt8(truncatingIfNeeded: etherType)]
        bytes += (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * UInt32($0))) }
        bytes += (0..<max(0, length - bytes.count)).map { UInt8(truncatingIfNeeded: $0) }
        self.bytes = bytes
    }

    /// A frame as it was received.
    init(received bytes: [UInt8]) { self.bytes = bytes }

    /// The source address in the usual notation, where the frame is long enough for one.
    var source: String? {
        guard bytes.count >= 12 else { return nil }
        return bytes[6..<12].map { Self.hexadecimal($0) }.joined(separator: ":")
    }

    private static func octets(_ address: String) -> [UInt8] {
        address.split(separator: ":").map { UInt8($0, radix: 16)! }
    }

    private static func hexadecimal(_ byte: UInt8) -> String {
        (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
}
