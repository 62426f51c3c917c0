// A TAP port's device: an Ethernet card of the host (or of a network namespace) whose other end is
// a descriptor that the data plane reads and writes frames on.
//
// Theory of operation. Two descriptors are opened in the device's network namespace and belong to
// it for ever: one of /dev/net/tun, which TUNSETIFF turns into the device, and an rtnetlink socket,
// by which it is configured and asked for its counters. So the switch itself never changes its
// namespace.
//
// A device that this object made goes when it is closed, unless it is to persist. A device that was
// there before (`ip tuntap add`) is used and left behind: it is somebody else's. Settings that it
// has already are not set again, so a user without privileges can use a device that root has
// prepared.
//
// What is left to the reader is set at every opening, for a persistent device remembers what its
// last user took over. Without offload a frame read here is complete and fits the MTU; with it a
// virtio header of 12 bytes lies before each frame and says what is left to do, and the host's TCP
// hands over up to 64 KiB at once.
//
// The device's queue is a ring of txqueuelen frames, which drops when nobody reads it.
internal import CShimsSystem
internal import Glibc
public import SwitchCore

/// An open TAP device.
///
/// Thread safety: none; it belongs to one actor or thread. The descriptor may be read and written
/// by others until `close`.
public final class TapDevice {
    /// Longest name of a device in bytes.
    public static let nameLengthMax = Int(CSHIMS_TAP_NAME_LENGTH_MAX)

    /// What a device is to be like.
    public struct Settings: Equatable, Sendable {
        /// Name of the device, 1 to 15 bytes.
        public var name: String
        /// Named network namespace to make it in (`ip netns add NAME`); `nil` for the process's
        /// own.
        public var namespace: String?
        /// Bytes of payload in a frame.
        public var mtu: Int
        /// Frames that wait in the device before it drops.
        public var txQueueLength: Int
        /// Addresses of the device.
        public var addresses: [TapAddress]
        /// Whether the device outlives this object.
        public var persist: Bool
        /// What is left to the reader of the device: `none` or `vnet`.
        public var offload: Offload
        /// Whether that may be the cutting up of UDP datagrams, where the kernel has it.
        public var leavesUDP: Bool

        /// Settings of one device.
        /// - Precondition: `offload` is not `raw`, a form that no device has.
        public init(
            name: String, namespace: String? = nil, mtu: Int = 1500, txQueueLength: Int = 1000,
            addresses: [TapAddress] = [], persist: Bool = false, offload: Offload = .none,
            leavesUDP: Bool = true
        ) {
            precondition(offload != .raw, "a device has a virtio header or whole frames")
            self.name = name
            self.namespace = namespace
            self.mtu = mtu
            self.txQueueLength = txQueueLength
            self.addresses = addresses
            self.persist = persist
            self.offload = offload
            self.leavesUDP = leavesUDP
        }
    }

    /// What the kernel counted since the device was opened.
    public struct Statistics: Equatable, Sendable {
        /// Frames that the host sent and the device's full ring dropped (`device_queue_full`): the
        /// switch has never seen them.
        public var deviceQueueFull: UInt64
        /// Frames that the switch wrote and the host's stack refused.
        public var refusedByHost: UInt64
    }

    /// Name of the device.
    public let name: String
    /// Named network namespace of the device; `nil` for the process's own.
    public let namespace: String?
    /// The TAP, non-blocking; owned by this object until `close`.
    public let descriptor: Int32
    let netlink: Int32
    let index: UInt32
    let removesDevice: Bool
    let baseline: cshims_link
    private var isClosed = false

    init(
        _ settings: Settings, network: cshims_network, link: cshims_link, removesDevice: Bool
    ) {
        name = settings.name
        namespace = settings.namespace
        descriptor = network.tun
        netlink = network.netlink
        index = link.index
        baseline = link
        self.removesDevice = removesDevice
    }

    deinit { close() }

    /// Creates the device, or opens it where it exists, configures it and brings it up.
    ///
    /// On failure nothing is left behind that was not there before.
    public static func open(_ settings: Settings) throws(PortError) -> TapDevice {
        guard isLegal(settings.name) else { throw .deviceNameInvalid(device: settings.name) }
        let network = try openNetwork(of: settings)
        let device: TapDevice
        do throws(PortError) {
            let isNew = try attach(network, settings)
            var link = cshims_link()
            let found = cshims_link_get(network.netlink, settings.name, &link)
            guard found >= 0 else {
                throw .system(operation: "look up", subject: settings.name, code: -found)
            }
            device = TapDevice(
                settings, network: network, link: link, removesDevice: isNew && !settings.persist)
        } catch {
            // A device that is new and not persistent goes with its descriptor.
            _ = cshims_descriptor_close(network.tun)
            _ = cshims_descriptor_close(network.netlink)
            throw error
        }
        // From here on the device closes itself when it is let go of.
        try device.configure(settings)
        return device
    }

    /// What the kernel counted since `open`.
    public func statistics() throws(PortError) -> Statistics {
        var link = cshims_link()
        let result = cshims_link_get(netlink, name, &link)
        guard result >= 0 else {
            throw .system(operation: "read the counters of", subject: name, code: -result)
        }
        // Another device of this name counts from zero.
        return Statistics(
            deviceQueueFull: link.tx_dropped - min(baseline.tx_dropped, link.tx_dropped),
            refusedByHost: link.rx_dropped - min(baseline.rx_dropped, link.rx_dropped))
    }

    /// Why the descriptor is the device no more, as an errno: EBADFD once somebody has deleted it.
    /// `nil` while it is.
    ///
    /// A read that waits may sleep through the deletion: the kernel wakes it before it takes the
    /// device from the descriptor (drivers/net/tun.c: tun_detach_all).
    public var failure: Int32? {
        let result = cshims_tap_check(descriptor)
        return result < 0 ? -result : nil
    }

    /// Removes the device, unless it persists or was there before, and closes its descriptors.
    ///
    /// While a ring still holds the descriptor (a registered file, an armed read) the name stays
    /// taken: the data plane lets go of it first.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        if removesDevice { _ = cshims_link_delete(netlink, index) }
        _ = cshims_descriptor_close(descriptor)
        _ = cshims_descriptor_close(netlink)
    }

    // MARK: Opening

    /// The kernel's rule (net/core/dev.c: dev_valid_name), and no "%", which it would replace by a
    /// number.
    private static func isLegal(_ name: String) -> Bool {
        guard (1...nameLengthMax).contains(name.utf8.count), name != ".", name != ".." else {
            return false
        }
        return name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f && !"/:%".utf8.contains($0) }
    }

    private static func openNetwork(of settings: Settings) throws(PortError) -> cshims_network {
        var network = cshims_network()
        let path = settings.namespace.map { "/run/netns/" + $0 }
        let result = cshims_network_open(path, true, &network)
        if result >= 0 { return network }
        let code = -result
        let step = cshims_network_step(UInt32(network.step))
        switch (step, settings.namespace, path) {
        case (CSHIMS_NETWORK_OPEN_NAMESPACE, let name?, let path?) where code == ENOENT:
            throw .namespaceMissing(name: name, path: path)
        case (CSHIMS_NETWORK_OPEN_NAMESPACE, let name?, let path?) where code == EACCES:
            throw .namespaceDenied(name: name, path: path)
        case (CSHIMS_NETWORK_ENTER_NAMESPACE, let name?, let path?) where code == EINVAL:
            throw .namespaceInvalid(name: name, path: path)
        case (CSHIMS_NETWORK_ENTER_NAMESPACE, let name?, let path?) where code == EPERM:
            throw .namespaceDenied(name: name, path: path)
        // ENODEV and ENXIO: the file is there and no driver behind it.
        case (CSHIMS_NETWORK_OPEN_TUN, _, _) where [ENOENT, ENODEV, ENXIO].contains(code):
            throw .tunMissing
        case (CSHIMS_NETWORK_OPEN_TUN, _, _) where [EACCES, EPERM].contains(code):
            throw .tunDenied
        default:
            throw .system(
                operation: "reach the network of", subject: path ?? settings.name, code: code)
        }
    }

    /// Makes the descriptor the device; returns whether the device is new.
    private static func attach(
        _ network: cshims_network, _ settings: Settings
    ) throws(PortError) -> Bool {
        let name = settings.name
        let offload =
            switch (settings.offload, settings.leavesUDP) {
            case (.none, _), (.raw, _): CSHIMS_TAP_OFFLOAD_NONE
            case (.vnet, false): CSHIMS_TAP_OFFLOAD_TCP
            case (.vnet, true): CSHIMS_TAP_OFFLOAD_TCP_UDP
            }
        var code = -cshims_tap_attach(network.tun, name, CSHIMS_TAP_CREATE, offload)
        if code == 0 { return true }
        if code == EBUSY { code = -cshims_tap_attach(network.tun, name, CSHIMS_TAP_OPEN, offload) }
        switch code {
        case 0: return false
        case EBUSY: throw .deviceBusy(device: name)
        case EPERM: throw .deviceDenied(device: name, operation: "create the TAP device")
        case EINVAL:
            // The name is legal, so it is taken by a device of another sort.
            throw .deviceIsNotTap(device: name)
        default:
            throw .system(operation: "create the TAP device", subject: name, code: code)
        }
    }
}
