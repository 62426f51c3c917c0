import CShimsSystem
import SwitchCore

/// The TAP device that plays the VM's network card, up and with its addresses, beside a loopback
/// device that is up too. It vanishes with this object if it was made for it.
final class GuestDevice {
    /// Frames that wait in the device before it drops: TCP needs a bandwidth-delay product of them,
    /// the kernel's 1000 are lost in one burst.
    private static let queueLength = 10_000

    private let tap: TapDevice

    /// Makes the device in the named namespace of `options`, or in the process's own.
    init(_ options: AttachOptions) throws(AttachError) {
        do throws(PortError) {
            tap = try Self.open(options)
        } catch {
            throw .unfit("\(error)")
        }
        do throws(SystemFailure) {
            try Self.bringLoopbackUp(netlink: tap.netlink)
        } catch {
            throw AttachError(error)
        }
    }

    /// The device's descriptor: one read or write a frame, non-blocking.
    var descriptor: Int32 { tap.descriptor }

    /// Frames that the namespace sent and the device had no room for.
    var queueFullDrops: UInt64 { (try? tap.statistics())?.deviceQueueFull ?? 0 }

    private static func open(_ options: AttachOptions) throws(PortError) -> TapDevice {
        var settings = TapDevice.Settings(
            name: options.device, namespace: options.namespace, mtu: options.mtu,
            txQueueLength: queueLength, offload: options.offload ? .vnet : .none,
            // libkrun does not offer it to its guests.
            leavesUDP: false)
        let tap = try TapDevice.open(settings)
        if let mac = options.mac {
            let octets = stride(from: 40, through: 0, by: -8).map { shift in
                UInt8(truncatingIfNeeded: mac.rawValue >> UInt64(shift))
            }
            // Down, so that the kernel makes the link-local address anew, from this MAC.
            _ = cshims_link_set_up(tap.netlink, tap.index, false)
            let result = cshims_link_set_mac(tap.netlink, tap.index, octets)
            guard result >= 0 else {
                throw .system(operation: "give \(mac) to", subject: options.device, code: -result)
            }
        }
        // Addresses come last: taking a device down takes its IPv6 addresses away.
        settings.addresses = options.addresses.map {
            TapAddress(bytes: $0.bytes, prefixLength: $0.prefixLength)
        }
        try tap.configure(settings)
        return tap
    }

    /// A new namespace has its loopback device down.
    private static func bringLoopbackUp(netlink: Int32) throws(SystemFailure) {
        var loopback = cshims_link()
        guard cshims_link_get(netlink, "lo", &loopback) == 0, !loopback.is_up else { return }
        try SystemFailure.check(
            cshims_link_set_up(netlink, loopback.index, true), "cannot bring lo up")
    }
}
