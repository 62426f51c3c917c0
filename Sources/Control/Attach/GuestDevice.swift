import CShimsSystem
import Glibc
import SwitchCore

/// The TAP device that plays the VM's network card, up and with its addresses. It vanishes with
/// this object.
final class GuestDevice {
    /// Frames that wait in the device before it drops: TCP needs a bandwidth-delay product of them,
    /// the kernel's 1000 are lost in one burst.
    static let queueLength: UInt32 = 10_000

    /// The device's descriptor: one read or write a frame, non-blocking.
    let descriptor: Int32
    private let netlink: Int32
    private let name: String

    /// Makes the device in the namespace at `namespacePath`, or in the process's own for `nil`.
    init(_ options: AttachOptions, namespacePath: String?) throws(AttachError) {
        var network = cshims_network()
        let result = cshims_network_open(namespacePath, true, &network)
        if result < 0 {
            throw Self.cannotOpen(step: network.step, code: -result, namespacePath)
        }
        descriptor = network.tun
        netlink = network.netlink
        name = options.device
        do throws(SystemFailure) {
            try Self.setUp(tun: network.tun, netlink: network.netlink, options)
        } catch {
            throw AttachError(error)
        }
    }

    deinit {
        _ = cshims_descriptor_close(descriptor)
        _ = cshims_descriptor_close(netlink)
    }

    /// Frames that the namespace sent and the device had no room for.
    var queueFullDrops: UInt64 {
        var link = cshims_link()
        return cshims_link_get(netlink, name, &link) < 0 ? 0 : link.tx_dropped
    }

    private static func setUp(
        tun: Int32, netlink: Int32, _ options: AttachOptions
    ) throws(SystemFailure) {
        let name = options.device
        try SystemFailure.check(
            cshims_tap_attach(tun, name, CSHIMS_TAP_CREATE), "cannot create the TAP device \(name)")
        var link = cshims_link()
        try SystemFailure.check(cshims_link_get(netlink, name, &link), "cannot find \(name)")
        if let mac = options.mac {
            let octets = stride(from: 40, through: 0, by: -8).map { shift in
                UInt8(truncatingIfNeeded: mac.rawValue >> UInt64(shift))
            }
            try SystemFailure.check(
                cshims_link_set_mac(netlink, link.index, octets), "cannot give \(name) \(mac)")
        }
        try SystemFailure.check(
            cshims_link_set_mtu(netlink, link.index, UInt32(options.mtu)),
            "cannot set the MTU of \(name) to \(options.mtu)")
        try SystemFailure.check(
            cshims_link_set_tx_queue_length(netlink, link.index, queueLength),
            "cannot set the queue length of \(name)")
        for address in options.addresses {
            try SystemFailure.check(
                cshims_link_add_address(
                    netlink, link.index, address.bytes, UInt32(address.bytes.count),
                    UInt8(address.prefixLength)),
                "cannot give \(name) the address \(address)")
        }
        try SystemFailure.check(
            cshims_link_set_up(netlink, link.index, true), "cannot bring \(name) up")
        // A new namespace has its loopback device down.
        var loopback = cshims_link()
        if cshims_link_get(netlink, "lo", &loopback) == 0, !loopback.is_up {
            try SystemFailure.check(
                cshims_link_set_up(netlink, loopback.index, true), "cannot bring lo up")
        }
    }

    private static func cannotOpen(
        step: Int32, code: Int32, _ namespacePath: String?
    ) -> AttachError {
        let path = namespacePath ?? "its own"
        switch UInt32(bitPattern: step) {
        case CSHIMS_NETWORK_OPEN_TUN.rawValue where code == EACCES || code == EPERM:
            return .unfit(
                "/dev/net/tun may not be opened by this user: \(String(cString: strerror(code))); "
                    + "`chmod 0666 /dev/net/tun` allows it to everybody, as Debian's udev does")
        case CSHIMS_NETWORK_OPEN_TUN.rawValue where code == ENOENT || code == ENODEV:
            return .unfit("/dev/net/tun is missing; load the driver with `modprobe tun`")
        case CSHIMS_NETWORK_OPEN_TUN.rawValue:
            return .system(what: "cannot open /dev/net/tun", code: code)
        case CSHIMS_NETWORK_OPEN_NAMESPACE.rawValue, CSHIMS_NETWORK_ENTER_NAMESPACE.rawValue:
            return .system(what: "cannot enter the network namespace \(path)", code: code)
        default:
            return .system(what: "cannot reach the network namespace \(path)", code: code)
        }
    }
}
