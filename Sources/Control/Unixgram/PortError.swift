// Why a port could not be opened, in words for the person who runs the switch: what was tried, on
// what, why it failed and, where one exists, the remedy. Faults of peers are never errors of a
// port; they are refusals and counts (HandshakeOutcome.swift).

internal import Glibc

/// Why a socket or a device of a port could not be made, configured or used.
public enum PortError: Error, Equatable, Sendable {
    /// The socket's path does not fit into a socket address (unix(7): 107 bytes).
    case pathTooLong(path: String)
    /// A live socket owns the path.
    case pathInUse(path: String)
    /// The path leads to something that is no socket, which the switch never removes.
    case pathIsNotSocket(path: String)
    /// The path's directory does not exist.
    case directoryMissing(path: String)
    /// The directory of the path does not let this user in.
    case pathDenied(path: String, operation: String)
    /// This user may not give the socket to another user or group.
    case ownershipDenied(path: String, owner: UInt32?, group: UInt32?)

    /// The machine has no `/dev/net/tun`.
    case tunMissing
    /// `/dev/net/tun` exists and this user may not open it.
    case tunDenied
    /// Making or changing a device takes CAP_NET_ADMIN in its network namespace.
    case deviceDenied(device: String, operation: String)
    /// Another process, or a port that has not gone yet, holds the device.
    case deviceBusy(device: String)
    /// The name is too long or has characters that no device may have.
    case deviceNameInvalid(device: String)
    /// The name belongs to a device that is no TAP.
    case deviceIsNotTap(device: String)
    /// The device cannot have an IPv6 address: IPv6 is switched off.
    case ipv6Disabled(device: String, address: String)
    /// There is no network namespace of that name.
    case namespaceMissing(name: String, path: String)
    /// The file exists and is no network namespace.
    case namespaceInvalid(name: String, path: String)
    /// This user may not enter the network namespace.
    case namespaceDenied(name: String, path: String)

    /// The data plane did not take the port, for this reason in words.
    case refused(String)

    /// Anything else that the kernel refused; `code` is the errno.
    case system(operation: String, subject: String, code: Int32)
}

extension PortError {
    /// Whether waiting may help: somebody holds what the port needs, perhaps a process that is
    /// ending.
    var mayPass: Bool {
        switch self {
        case .pathInUse, .deviceBusy: true
        default: false
        }
    }
}

extension PortError: CustomStringConvertible {
    /// One sentence: what was tried, why it failed, and the remedy where there is one.
    public var description: String {
        switch self {
        case .pathTooLong, .pathInUse, .pathIsNotSocket, .directoryMissing, .pathDenied,
            .ownershipDenied:
            pathSentence
        case .system(let operation, let subject, EMFILE):
            "cannot \(operation) \(subject.printable): the limit of open files (RLIMIT_NOFILE) is "
                + "too low; raise it with `ulimit -n`, or LimitNOFILE= in a systemd unit"
        case .system(let operation, let subject, let code):
            "cannot \(operation) \(subject.printable): \(SystemText.reason(code))"
        case .refused(let reason):
            reason
        default:
            deviceSentence
        }
    }

    private var pathSentence: String {
        switch self {
        case .pathTooLong(let path):
            "the socket path \(path.printable) has \(path.utf8.count) bytes and a socket address "
                + "holds \(UnixgramAddress.pathLengthMax): choose a shorter one"
        case .pathInUse(let path):
            "another process listens on \(path.printable): stop it, or give this port another path"
        case .pathIsNotSocket(let path):
            "\(path.printable) exists and is not a socket, so it was left alone: move it away, or "
                + "give this port another path"
        case .directoryMissing(let path):
            "the directory of \(path.printable) does not exist: create it first"
        case .pathDenied(let path, let operation):
            "permission denied to \(operation) \(path.printable): the user of the switch (uid "
                + "\(SystemText.effectiveUID)) needs write and search permission on its directory"
        case .ownershipDenied(let path, let owner, let group):
            "cannot give \(path.printable) to \(Self.accounts(owner, group)): only root gives "
                + "files away, and only members give them to a group"
        default:
            ""
        }
    }

    private var deviceSentence: String {
        switch self {
        case .tunMissing:
            "/dev/net/tun does not exist: load the driver with `modprobe tun`; a container needs "
                + "the device passed in (`--device /dev/net/tun`)"
        case .tunDenied:
            "permission denied to open /dev/net/tun: its usual mode is 0666; a container needs the "
                + "device allowed (`--device /dev/net/tun`)"
        case .deviceDenied(let device, let operation):
            "not permitted to \(operation) \(device.printable): run the switch as root or give it "
                + "the capability CAP_NET_ADMIN"
        case .deviceBusy(let device):
            "the TAP device \(device.printable) is in use by another process, or has not been "
                + "released yet"
        case .deviceNameInvalid(let device):
            "\(device.printable) cannot name a device: 1 to \(TapDevice.nameLengthMax) bytes "
                + "without \"/\", \":\", \"%\" and white space"
        case .deviceIsNotTap(let device):
            "the device \(device.printable) exists and is not a TAP: choose another name"
        case .ipv6Disabled(let device, let address):
            "cannot give \(address) to \(device.printable): IPv6 is switched off "
                + "(net.ipv6.conf.\(device.printable).disable_ipv6)"
        case .namespaceMissing(let name, let path):
            "there is no network namespace \(name.printable) (\(path.printable)): create it with "
                + "`ip netns add \(name.printable)`"
        case .namespaceInvalid(let name, let path):
            "\(path.printable) is not a network namespace: remove and create it with "
                + "`ip netns delete \(name.printable)` and `ip netns add \(name.printable)`"
        case .namespaceDenied(let name, let path):
            "not permitted to enter the network namespace \(name.printable) (\(path.printable)): "
                + "run the switch as root or give it the capability CAP_SYS_ADMIN"
        default:
            ""
        }
    }

    private static func accounts(_ owner: UInt32?, _ group: UInt32?) -> String {
        [owner.map { "user \($0)" }, group.map { "group \($0)" }].compactMap(\.self)
            .joined(separator: " and ")
    }
}
