internal import CShimsSystem

/// The name of a UNIX socket, byte for byte as the kernel reported it.
///
/// Three sorts exist (unix(7)): a path, an abstract name (a zero byte first; belongs to a network
/// namespace), and none. Only the first two can be connected back to.
public struct UnixgramAddress: Hashable, Sendable, CustomStringConvertible {
    /// Longest path of a socket in bytes, less the closing zero.
    public static let pathLengthMax = 107

    /// The bytes after the address family.
    public let name: [UInt8]

    /// Bytes of `sa_family_t` in front of the name.
    private static let familyLength = MemoryLayout<UInt16>.size

    /// Whether the socket has no name, so that nothing can be sent to it.
    public var isUnbound: Bool { name.isEmpty }

    /// The path, where the name is one; bytes that are no UTF-8 are replaced.
    public var path: String? {
        guard let first = name.first, first != 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
    }

    /// The name for people: a path, "@name" for an abstract one, "(unbound)".
    public var description: String {
        if isUnbound { return "(unbound)" }
        if let path { return path.printable }
        return "@" + String(decoding: name.dropFirst(), as: UTF8.self).printable
    }

    /// A name as another process knew it.
    init(name: [UInt8]) { self.name = name }

    /// Takes over what recvmsg() or getsockname() filled in.
    init(_ address: cshims_unix_address) {
        let length = Int(address.length)
        name = withUnsafeBytes(of: address.bytes) { bytes in
            length <= Self.familyLength ? [] : Array(bytes[Self.familyLength..<length])
        }
    }

    /// The address as the shim's functions take it.
    var systemAddress: cshims_unix_address {
        var address = cshims_unix_address()
        address.length = UInt32(Self.familyLength + name.count)
        withUnsafeMutableBytes(of: &address.bytes) { bytes in
            // AF_UNIX in the machine's byte order.
            bytes.storeBytes(of: 1, as: UInt16.self)
            bytes[Self.familyLength...].copyBytes(from: name)
        }
        return address
    }
}
