import CShimsSystem
import Glibc
import SwitchCore
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

    /// Waits until a device that was closed has gone; false: it stays.
    func loses(_ device: String) -> Bool {
        let end = ContinuousClock.now + releasePatience
        while ip("-o", "link").contains(device) {
            if ContinuousClock.now > end { return false }
        }
        return true
    }
}

private let canMakeDevices =
    isRoot && access("/dev/net/tun", R_OK | W_OK) == 0
    && access("/sbin/ip", X_OK) == 0

/// How long a device may live after it was closed: a child that another test starts holds the
/// descriptor until it executes its program.
private let releasePatience = Duration.seconds(30)

/// Opens a device that may have been closed a moment ago.
private func openReleased(_ settings: TapDevice.Settings) throws -> TapDevice {
    let end = ContinuousClock.now + releasePatience
    while true {
        do throws(PortError) {
            return try TapDevice.open(settings)
        } catch {
            guard error == .deviceBusy(device: settings.name), ContinuousClock.now < end
            else { throw error }
            poll(nil, 0, 1)
        }
    }
}

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
        #expect(namespace.loses("rs0"))
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

    /// A device at 10.9.8.1 that knows a neighbour at 10.9.8.2, and its first UDP frame when the
    /// host has sent a datagram there, cut by the socket into pieces of `segment` bytes (UDP(7):
    /// UDP_SEGMENT) where that is given.
    private func firstDatagram(
        _ settings: TapDevice.Settings, in namespace: NamedNamespace, length: Int,
        segment: Int? = nil
    ) throws -> [UInt8]? {
        let device = try openReleased(settings)
        defer { device.close() }
        _ = namespace.ip(
            "neigh", "replace", "10.9.8.2", "lladdr", "02:00:00:00:00:02", "dev", "rs0")
        let script = """
            use Socket;
            socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
            setsockopt($s, 17, 103, pack("i", \(segment ?? 0))) or die "segment: $!";
            send($s, "x" x \(length), 0, pack_sockaddr_in(9, inet_aton("10.9.8.2")))
                or die "send: $!";
            """
        let sender = Child(["ip", "netns", "exec", namespace.name, "perl", "-e", script])
        #expect(sender.wait() == 0)
        let header = settings.offload == .vnet ? 12 : 0
        while waitReadable(device.descriptor) {
            var bytes = [UInt8](repeating: 0, count: 70_000)
            let count = read(device.descriptor, &bytes, bytes.count)
            // IPv4 and UDP: what the host says unasked is neither, or not to this neighbour.
            if bytes[header] == 0x02, bytes[header + 12] == 0x08, bytes[header + 23] == 17 {
                return Array(bytes[..<count])
            }
        }
        return nil
    }

    private func settings(
        in namespace: NamedNamespace, offload: Offload = .vnet, leavesUDP: Bool = true
    ) -> TapDevice.Settings {
        TapDevice.Settings(
            name: "rs0", namespace: namespace.name,
            addresses: [TapAddress(bytes: [10, 9, 8, 1], prefixLength: 24)], offload: offload,
            leavesUDP: leavesUDP)
    }

    @Test func `with offload a header of 12 bytes says what is left to do`() throws {
        let namespace = NamedNamespace("vnet")
        let bytes = try #require(
            try firstDatagram(settings(in: namespace), in: namespace, length: 100))
        #expect(bytes.count == 12 + 142)
        // NEEDS_CSUM, no segments, from byte 34 on, to be stored 6 bytes behind.
        #expect(Array(bytes[..<12]) == [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0])
    }

    @Test(arguments: [true, false])
    func `UDP is left uncut only where that is taken over`(leavesUDP: Bool) throws {
        let namespace = NamedNamespace("udp-\(leavesUDP)")
        let bytes = try #require(
            try firstDatagram(
                settings(in: namespace, leavesUDP: leavesUDP), in: namespace, length: 3000,
                segment: 1000))
        // VIRTIO_NET_HDR_GSO_UDP_L4 with segments of 1000 bytes. A kernel without it (before Linux
        // 6.2) cuts for everybody.
        let isWhole = bytes.count == 12 + 42 + 3000
        #expect(
            isWhole ? bytes[1] == 5 && bytes[4...5] == [0xe8, 3] : bytes.count == 12 + 42 + 1000)
        #expect(leavesUDP || !isWhole)
    }

    @Test func `a persistent device forgets the offload of its last user`() throws {
        let namespace = NamedNamespace("forget")
        var wanted = settings(in: namespace)
        wanted.persist = true
        #expect(try firstDatagram(wanted, in: namespace, length: 100)?.count == 12 + 142)
        wanted.offload = .none
        let frame = try #require(try firstDatagram(wanted, in: namespace, length: 100))
        #expect(frame.count == 142)
        // Pseudo-header, UDP header and payload add up to ones: the checksum is complete.
        var sum = 17 + 108
        for offset in stride(from: 26, to: 142, by: 2) {
            sum += Int(frame[offset]) << 8 | Int(frame[offset + 1])
        }
        while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
        #expect(sum == 0xffff)
        wanted.offload = .vnet
        #expect(try firstDatagram(wanted, in: namespace, length: 100)?.count == 12 + 142)
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
        let second = try openReleased(settings)
        second.close()
        // It was there before this object, so it is not this object's to remove.
        #expect(namespace.ip("-o", "link").contains("rs0"))
    }

    /// Reads a batch of two frames of at most 200 bytes; those that are UDP over IPv4, or -errno.
    private func readBatch(_ device: TapDevice) -> (datagrams: [[UInt8]], result: Int32) {
        var bytes = [UInt8](repeating: 0, count: 2 * 256)
        var lengths: [Int32] = [0, 0]
        let count = cshims_tap_read_batch(device.descriptor, &bytes, 256, 200, &lengths, 2)
        let frames = (0..<max(0, Int(count))).map { index in
            Array(bytes[(index * 256)...].prefix(Int(lengths[index])))
        }
        return (frames.filter { $0[12] == 0x08 && $0[23] == 17 }, count)
    }

    @Test func `batches hold the device's frames in order, and cut long ones silently`() throws {
        let namespace = NamedNamespace("batch")
        let device = try TapDevice.open(settings(in: namespace, offload: .none))
        let script = """
            use Socket;
            socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
            setsockopt($s, SOL_SOCKET, SO_BROADCAST, 1) or die "broadcast: $!";
            send($s, "x" x $_, 0, pack_sockaddr_in(9, inet_aton("10.9.8.255")))
                for 100, 1000, 150;
            """
        let sender = Child(["ip", "netns", "exec", namespace.name, "perl", "-e", script])
        #expect(sender.wait() == 0)
        var datagrams: [[UInt8]] = []
        var batch = readBatch(device)
        while batch.result > 0 {
            datagrams += batch.datagrams
            batch = readBatch(device)
        }
        #expect(batch.result == -EAGAIN)
        #expect(datagrams.map(\.count) == [142, 200, 192])
        _ = namespace.ip("link", "delete", "rs0")
        #expect(readBatch(device).result == -EBADFD)
        device.close()
    }

    @Test func `a deleted device is told without a read`() throws {
        let namespace = NamedNamespace("gone")
        let device = try TapDevice.open(
            TapDevice.Settings(name: "rs0", namespace: namespace.name))
        #expect(device.failure == nil)
        _ = namespace.ip("link", "delete", "rs0")
        #expect(device.failure == EBADFD)
        device.close()
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
        #expect(namespace.loses("rs0"))
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
        let second = try openReleased(settings)
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
