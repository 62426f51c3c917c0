import CShimsSystem
import Glibc
import Testing

@testable import Control

/// A named network namespace, made and removed with ip(8).
private final class NamedNamespace {
    let name: String

    init(_ purpose: String) {
        name = "rstest-\(getpid())-\(purpose)"
        let add = Child(["ip", "netns", "add", name])
        precondition(add.wait() == 0, add.allOutput())
    }

    deinit { Child(["ip", "netns", "delete", name]).wait() }

    /// What `ip -n NAME ...` prints.
    func ip(_ arguments: String...) -> String {
        Child(["ip", "-n", name] + arguments).allOutput()
    }
}

private let canMakeDevices =
    isRoot && access("/dev/net/tun", R_OK | W_OK) == 0
    && access("/sbin/ip", X_OK) == 0

@Suite(.enabled(if: canMakeDevices)) struct TAPDeviceTests {
    @Test func `a device in a namespace is configured and up, and gone when closed`() throws {
        let namespace = NamedNamespace("make")
        let device = try TapDevice.open(
            TapDevice.Settings(
                name: "rs0", namespace: namespace.name, mtu: 9000, txQueueLength: 5000,
                addresses: [
                    TapAddress(bytes: [192, 168, 127, 1], prefixLength: 24),
                    TapAddress(
                        bytes: [0xfd, 0] + [UInt8](repeating: 0, count: 13) + [1],
                        prefixLength: 64),
                ]))
        let link = namespace.ip("-o", "link", "show", "dev", "rs0")
        #expect(link.contains("mtu 9000") && link.contains("qlen 5000"))
        #expect(link.contains(",UP"))
        let addresses = namespace.ip("-o", "addr", "show", "dev", "rs0")
        #expect(addresses.contains("inet 192.168.127.1/24"))
        #expect(addresses.contains("inet6 fd00::1/64"))
        #expect(FileIdentity(path: "/sys/class/net/rs0") == nil)
        device.close()
        #expect(namespace.ip("-o", "link").contains("rs0") == false)
    }

    @Test func `the host's frames are read as they are, and the ring's drops counted`() throws {
        let namespace = NamedNamespace("drop")
        let device = try TapDevice.open(
            TapDevice.Settings(
                name: "rs0", namespace: namespace.name, txQueueLength: 4,
                addresses: [TapAddress(bytes: [10, 9, 8, 1], prefixLength: 24)]))
        let script = """
            use Socket;
            socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
            setsockopt($s, SOL_SOCKET, SO_BROADCAST, 1) or die "broadcast: $!";
            send($s, "x" x 100, 0, pack_sockaddr_in(9, inet_aton("10.9.8.255"))) for 1 .. 50;
            """
        let sender = Child(["ip", "netns", "exec", namespace.name, "perl", "-e", script])
        #expect(sender.wait() == 0)
        #expect(try device.statistics().deviceQueueFull >= 46)

        #expect(waitReadable(device.descriptor))
        var bytes = [UInt8](repeating: 0, count: 2048)
        let count = read(device.descriptor, &bytes, bytes.count)
        #expect(count >= 14)
        // Ethernet from its first octet: no packet information, no virtio header. The host's first
        // frames go to everybody: IPv4 broadcast or IPv6 multicast.
        #expect(bytes[0] & 1 == 1)
    }

    @Test func `a persistent device stays and is opened again`() throws {
        let namespace = NamedNamespace("persist")
        var settings = TapDevice.Settings(
            name: "rs0", namespace: namespace.name,
            addresses: [TapAddress(bytes: [10, 9, 8, 1], prefixLength: 24)], persist: true)
        let first = try TapDevice.open(settings)
        #expect(throws: PortError.deviceBusy(device: "rs0")) { _ = try TapDevice.open(settings) }
        first.close()
        #expect(namespace.ip("-o", "link").contains("rs0"))

        settings.persist = false
        let second = try TapDevice.open(settings)
        second.close()
        // It was there before this object, so it is not this object's to remove.
        #expect(namespace.ip("-o", "link").contains("rs0"))
    }

    @Test func `a failed set-up leaves nothing behind`() throws {
        let namespace = NamedNamespace("undo")
        let error = #expect(throws: PortError.self) {
            _ = try TapDevice.open(
                TapDevice.Settings(name: "rs0", namespace: namespace.name, mtu: 70_000))
        }
        #expect(
            error
                == .system(operation: "set MTU 70000 on", subject: "rs0", code: EINVAL))
        #expect(namespace.ip("-o", "link").contains("rs0") == false)
    }

    @Test func `a name that is taken by another sort of device is told`() throws {
        let namespace = NamedNamespace("other")
        #expect(throws: PortError.deviceIsNotTap(device: "lo")) {
            _ = try TapDevice.open(TapDevice.Settings(name: "lo", namespace: namespace.name))
        }
    }

    @Test func `a device is held by one opener at a time`() throws {
        let namespace = NamedNamespace("busy")
        let settings = TapDevice.Settings(name: "rs0", namespace: namespace.name)
        let first = try TapDevice.open(settings)
        #expect(throws: PortError.deviceBusy(device: "rs0")) { _ = try TapDevice.open(settings) }
        first.close()
        let second = try TapDevice.open(settings)
        second.close()
    }

    @Test func `a namespace that does not exist is named with its path`() throws {
        let error = #expect(throws: PortError.self) {
            _ = try TapDevice.open(TapDevice.Settings(name: "rs0", namespace: "rstest-none"))
        }
        #expect(error == .namespaceMissing(name: "rstest-none", path: "/run/netns/rstest-none"))
        #expect(error?.description.contains("ip netns add rstest-none") == true)
    }

    @Test func `a file that is no namespace is told`() throws {
        mkdir("/run/netns", 0o755)
        let name = "rstest-\(getpid())-file"
        let path = "/run/netns/" + name
        close(open(path, O_CREAT | O_WRONLY, 0o600))
        defer { unlink(path) }
        #expect(throws: PortError.namespaceInvalid(name: name, path: path)) {
            _ = try TapDevice.open(TapDevice.Settings(name: "rs0", namespace: name))
        }
    }

    @Test func `the switch stays in its own namespace`() throws {
        let before = FileIdentity(descriptor: open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC))
        let namespace = NamedNamespace("stay")
        let device = try TapDevice.open(
            TapDevice.Settings(name: "rs0", namespace: namespace.name))
        defer { device.close() }
        #expect(
            FileIdentity(descriptor: open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC))
                == before)
    }
}

@Suite struct TAPNameTests {
    @Test(arguments: ["", "a/b", "a:b", "a b", "tap%d", ".", "..", "0123456789abcdef", "a\n"])
    func `a name that no device may have is refused before anything is made`(name: String) {
        let error = #expect(throws: PortError.self) {
            _ = try TapDevice.open(TapDevice.Settings(name: name))
        }
        #expect(error == .deviceNameInvalid(device: name))
    }

    @Test func `sentences for people`() {
        #expect(PortError.tunMissing.description.contains("`modprobe tun`"))
        #expect(
            PortError.deviceDenied(device: "rs0", operation: "create the TAP device").description
                == "not permitted to create the TAP device rs0: run the switch as root or give it "
                + "the capability CAP_NET_ADMIN")
        #expect(
            "\(TapAddress(bytes: [192, 168, 127, 1], prefixLength: 24))" == "192.168.127.1/24")
    }
}
