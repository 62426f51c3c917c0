public import SwitchCore

/// What `ringswitch attach` was asked to do.
public struct AttachOptions: Sendable {
    /// Path of the switch port's socket.
    public var socketPath: String
    /// Named network namespace to put the device into (root only); `nil`: one of the process's own.
    public var namespace: String?
    /// Addresses of the device.
    public var addresses: [InterfaceAddress]
    /// Payload of a frame in bytes, 68...65535 (RFC 791's least).
    public var mtu: Int
    /// Name of the device in the namespace, at most 15 bytes.
    public var device: String
    /// Address of the device; `nil`: the kernel makes one up.
    public var mac: MACAddress?
    /// Whether the namespace leaves checksums and the cutting up of TCP frames to others, as a
    /// libkrun guest with offloading does. The port must be `raw`.
    public var offload: Bool
    /// Program and arguments to run in the namespace; empty: none.
    public var command: [String]
    /// Whether counters are printed to standard output as JSON at the end.
    public var isJSON: Bool
    /// Whether counters are printed to standard error at the end.
    public var isVerbose: Bool

    /// Takes the device's hardware address from a text such as "52:54:00:00:00:01".
    /// - Returns: false, and changes nothing, where that is no address a device can have.
    public mutating func setMAC(_ text: String) -> Bool {
        guard let address = MACAddress(text), !address.isGroup, !address.isZero else {
            return false
        }
        mac = address
        return true
    }

    /// Options with the defaults of the command line.
    public init(
        socketPath: String, namespace: String? = nil, addresses: [InterfaceAddress] = [],
        mtu: Int = 1500, device: String = "eth0", mac: MACAddress? = nil, offload: Bool = false,
        command: [String] = [], isJSON: Bool = false, isVerbose: Bool = false
    ) {
        self.socketPath = socketPath
        self.namespace = namespace
        self.addresses = addresses
        self.mtu = mtu
        self.device = device
        self.mac = mac
        self.offload = offload
        self.command = command
        self.isJSON = isJSON
        self.isVerbose = isVerbose
    }

    /// Throws the first thing that cannot work on any machine.
    func validate() throws(AttachError) {
        // sun_path has 108 bytes, one of them the closing zero (unix(7)).
        guard (1...107).contains(socketPath.utf8.count) else {
            throw .usage("a socket path has 1 to 107 bytes, this one \(socketPath.utf8.count)")
        }
        guard (68...65_535).contains(mtu) else {
            throw .usage("--mtu is 68 to 65535, not \(mtu)")
        }
        let isIPv6 = addresses.contains { $0.isIPv6 }
        guard !isIPv6 || mtu >= 1280 else {
            throw .usage("IPv6 needs --mtu of at least 1280, not \(mtu)")
        }
        guard Self.isName(device, lengthMax: 15) else {
            throw .usage(
                "--device is 1 to 15 bytes without '/', ':', '%' or blanks, not \"\(device)\"")
        }
        if let namespace, !Self.isName(namespace, lengthMax: 200) {
            throw .usage("--netns is a name without '/' or blanks, not \"\(namespace)\"")
        }
        if let mac, mac.isGroup || mac.isZero {
            throw .usage("--mac is the address of one station, which \(mac) is not")
        }
    }

    /// What the kernel takes as a device name (dev_valid_name); more than it asks of a file name. A
    /// percent sign would make it a pattern.
    private static func isName(_ name: String, lengthMax: Int) -> Bool {
        (1...lengthMax).contains(name.utf8.count) && name != "." && name != ".."
            && name.utf8.allSatisfy {
                $0 > 0x20 && $0 != 0x7f && !"/:%".utf8.contains($0)
            }
    }
}
