import Glibc

/// An address of a network device with the length of its network's prefix: "192.168.127.1/24".
public struct InterfaceAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address in network order: 4 bytes for IPv4, 16 for IPv6.
    public let bytes: [UInt8]
    /// Leading bits that name the network: 0...32 or 0...128.
    public let prefixLength: Int

    /// Whether the address is one of IPv6.
    public var isIPv6: Bool { bytes.count == 16 }

    /// Parses "ADDRESS/PREFIX"; `nil` for anything else, and for an address no device can have.
    public init?(_ text: String) {
        guard case .success(let address) = Self.parse(text) else { return nil }
        self = address
    }

    private init(bytes: [UInt8], prefixLength: Int) {
        self.bytes = bytes
        self.prefixLength = prefixLength
    }

    /// Why a text is no address of a device; continues the sentence that the text begins.
    struct Refusal: Error {
        let reason: String
    }

    /// Parses "ADDRESS/PREFIX" and says what is wrong where it cannot.
    static func parse(_ text: String) -> Result<InterfaceAddress, Refusal> {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let bytes = parts.first.flatMap({ octets(String($0)) }), parts.count <= 2 else {
            return .failure(Refusal(reason: "is not an IPv4 or IPv6 address with a prefix length"))
        }
        guard parts.count == 2 else {
            return .failure(Refusal(reason: "has no prefix length"))
        }
        let limit = bytes.count * 8
        guard let length = prefix(String(parts[1])), length <= limit else {
            let family = bytes.count == 4 ? "IPv4" : "IPv6"
            return .failure(
                Refusal(reason: "has a prefix length that is not 0 to \(limit), as \(family) has"))
        }
        guard isHost(bytes) else {
            return .failure(Refusal(reason: "is not an address that a device can have"))
        }
        return .success(InterfaceAddress(bytes: bytes, prefixLength: length))
    }

    /// The address as inet_ntop(3) writes it, and the prefix length.
    public var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = isIPv6 ? AF_INET6 : AF_INET
        // The buffer has room for the longest address, so this cannot fail.
        _ = inet_ntop(family, bytes, &text, socklen_t(text.count))
        let length = text.firstIndex(of: 0) ?? text.count
        let address = String(decoding: text[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
        return "\(address)/\(prefixLength)"
    }

    /// Whether the address can be that of a device: groups are 224.0.0.0/4 (RFC 5771) and ff00::/8
    /// (RFC 4291, 2.7), the loopback has 127.0.0.0/8 and ::1, all zeros is nobody.
    private static func isHost(_ bytes: [UInt8]) -> Bool {
        if bytes.count == 4 {
            return bytes[0] >> 4 != 0xe && bytes[0] != 127 && bytes != [0, 0, 0, 0]
        }
        return bytes[0] != 0xff && (bytes.dropLast().contains { $0 != 0 } || bytes[15] > 1)
    }

    private static func octets(_ text: String) -> [UInt8]? {
        let isIPv6 = text.contains(":")
        var bytes = [UInt8](repeating: 0, count: isIPv6 ? 16 : 4)
        return inet_pton(isIPv6 ? AF_INET6 : AF_INET, text, &bytes) == 1 ? bytes : nil
    }

    /// A number without sign and without leading zeros.
    private static func prefix(_ text: String) -> Int? {
        guard let length = Int(text), length >= 0, "\(length)" == text else { return nil }
        return length
    }
}
