internal import CShimsSystem
internal import Glibc

/// An address for a device, with the length of its network's prefix.
public struct TapAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address in network order: 4 bytes for IPv4, 16 for IPv6.
    public let bytes: [UInt8]
    /// Leading bits that name the network: 0...32 or 0...128.
    public let prefixLength: Int

    /// - Precondition: 4 or 16 bytes, and a prefix no longer than they are.
    public init(bytes: [UInt8], prefixLength: Int) {
        precondition(bytes.count == 4 || bytes.count == 16, "an address has 4 or 16 bytes")
        precondition((0...bytes.count * 8).contains(prefixLength), "the prefix exceeds the address")
        self.bytes = bytes
        self.prefixLength = prefixLength
    }

    /// The address as inet_ntop(3) writes it, and the prefix length.
    public var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        // The buffer has room for the longest address, so this cannot fail.
        _ = inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
        let written = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return "\(String(decoding: written, as: UTF8.self))/\(prefixLength)"
    }
}

extension TapDevice {
    /// Brings the device to its settings; what it has already is left alone.
    func configure(_ settings: Settings) throws(PortError) {
        var link = cshims_link()
        try check(cshims_link_get(netlink, name, &link), "look up")
        if Int(link.mtu) != settings.mtu {
            try check(
                cshims_link_set_mtu(netlink, index, UInt32(settings.mtu)),
                "set MTU \(settings.mtu) on")
        }
        if Int(link.tx_queue_length) != settings.txQueueLength {
            try setTxQueueLength(settings.txQueueLength)
        }
        for address in settings.addresses { try add(address) }
        if !link.is_up { try check(cshims_link_set_up(netlink, index, true), "bring up") }
        if settings.persist {
            try check(cshims_tap_set_persistent(descriptor, true), "make persistent")
        }
    }

    /// Sets how many frames of the host wait in the device.
    func setTxQueueLength(_ frames: Int) throws(PortError) {
        try check(
            cshims_link_set_tx_queue_length(netlink, index, UInt32(frames)),
            "set tx_queue_length \(frames) on")
    }

    private func add(_ address: TapAddress) throws(PortError) {
        let result = cshims_link_add_address(
            netlink, index, address.bytes, UInt32(address.bytes.count),
            UInt8(address.prefixLength))
        switch -result {
        case EEXIST:
            return
        case EACCES, EOPNOTSUPP, EAFNOSUPPORT:
            // net/ipv6/addrconf.c answers so where IPv6 is off for the device or the kernel.
            guard address.bytes.count == 16 else { fallthrough }
            throw .ipv6Disabled(device: name, address: "\(address)")
        default:
            try check(result, "add \(address) to")
        }
    }

    private func check(_ result: Int32, _ operation: String) throws(PortError) {
        switch -result {
        case ...0: return
        case EPERM: throw .deviceDenied(device: name, operation: operation)
        case let code: throw .system(operation: operation, subject: name, code: code)
        }
    }
}
