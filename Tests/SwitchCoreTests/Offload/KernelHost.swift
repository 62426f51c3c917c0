import Foundation
import Glibc
import Support
import SwitchCore
import Testing

/// A network namespace with a TAP device, whose kernel takes what the tests write to the device.
///
/// It belongs to the thread that runs the test's body, and ends with it. The kernel's side has
/// 10.0.0.2 and fd00::2, and believes that 10.0.0.1 and fd00::1 are at the other end.
final class KernelHost {
    /// Whether namespaces and devices can be made here.
    static let isAvailable = geteuid() == 0 && (try? run(hasHeader: false, { _ in true })) == true

    /// Comment of tests that need one.
    static let requirement = "network namespaces and TAP devices need root and iproute2"

    /// A step that failed.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let device: Int32
    private let hasHeader: Bool

    /// Runs `body` on a thread of its own, and returns what it returns.
    static func run<Outcome: Sendable>(
        hasHeader: Bool, _ body: @escaping @Sendable (KernelHost) throws -> Outcome
    ) throws -> Outcome {
        let box = ResultBox<Outcome>()
        runOnThreads(1) { _ in
            box.result = Result { try body(KernelHost(hasHeader: hasHeader)) }
        }
        return try box.result!.get()
    }

    private init(hasHeader: Bool) throws {
        self.hasHeader = hasHeader
        let unshare = unsafeBitCast(
            dlsym(nil, "unshare"), to: (@convention(c) (Int32) -> Int32).self)
        guard unshare(0x4000_0000) == 0 else {  // CLONE_NEWNET
            throw Failure(description: "unshare: errno \(errno)")
        }
        device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)
        // IFF_TAP | IFF_NO_PI, and perhaps IFF_VNET_HDR
        var request = [UInt8](repeating: 0, count: 40)
        request.replaceSubrange(0..<4, with: "tap0".utf8)
        request.withUnsafeMutableBytes {
            $0.storeBytes(of: hasHeader ? 0x5002 : 0x1002, toByteOffset: 16, as: UInt16.self)
        }
        var headerLength = Int32(VirtioNetHeader.length)
        guard ioctl(device, 0x4004_54CA, &request) == 0,  // TUNSETIFF
            !hasHeader || ioctl(device, 0x4004_54D8, &headerLength) == 0  // TUNSETVNETHDRSZ
        else { throw Failure(description: "TAP device: errno \(errno)") }
        for line in [
            "link set tap0 address 02:00:00:00:00:02 up",
            "addr add 10.0.0.2/24 dev tap0",
            "addr add fd00::2/64 dev tap0 nodad",
            "neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev tap0",
            "neigh add fd00::1 lladdr 02:00:00:00:00:01 dev tap0",
        ] {
            try Self.ip(line)
        }
        try awaitAddress()
    }

    deinit { close(device) }

    /// Waits for the IPv6 address, whose route the kernel adds in its own time.
    private func awaitAddress() throws {
        for _ in 0..<30_000 {
            let routes = try String(
                contentsOfFile: "/proc/thread-self/net/ipv6_route", encoding: .utf8)
            if routes.contains("fd000000000000000000000000000002 80") { return }
            poll(nil, 0, 1)
        }
        throw Failure(description: "the IPv6 address never comes up")
    }

    /// Runs `ip`, in the namespace of this thread.
    private static func ip(_ arguments: String) throws {
        let words = ["ip"] + arguments.split(separator: " ").map(String.init)
        var pointers = words.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var child: pid_t = 0
        var status: Int32 = 0
        guard posix_spawnp(&child, "ip", nil, nil, &pointers, environ) == 0,
            waitpid(child, &status, 0) == child, status == 0
        else { throw Failure(description: "ip \(arguments) failed") }
    }

    /// A packet from the other end, without payload.
    func packet(_ transport: PacketBuilder.Transport, isIPv6: Bool) -> PacketBuilder {
        var packet = PacketBuilder()
        packet.transport = transport
        packet.isIPv6 = isIPv6
        if isIPv6 {
            packet.sourceHost = [0xFD] + [UInt8](repeating: 0, count: 14) + [1]
            packet.destinationHost = [0xFD] + [UInt8](repeating: 0, count: 14) + [2]
        }
        return packet
    }

    /// Writes a frame to the device, with its header if the device has one.
    func write(_ frame: GuardedFrame) throws {
        let start = hasHeader ? frame.address - VirtioNetHeader.length : frame.address
        let length = frame.length + (hasHeader ? VirtioNetHeader.length : 0)
        guard Glibc.write(device, start, length) == length else {
            throw Failure(description: "write of \(length) bytes to the TAP: errno \(errno)")
        }
    }

    /// Writes a frame that needs no header.
    func write(_ bytes: [UInt8]) throws { try write(GuardedFrame(bytes)) }

    /// Waits for the next TCP segment that the kernel sends.
    private func readTCP() throws -> ReferencePacket {
        var bytes = [UInt8](repeating: 0, count: 70_000)
        while wait(for: device) {
            let count = read(device, &bytes, bytes.count)
            guard count > 0 else { break }
            let frame = Array(bytes[(hasHeader ? VirtioNetHeader.length : 0)..<count])
            if let packet = ReferencePacket(frame), packet.isTCP { return packet }
        }
        throw Failure(description: "the kernel sends no TCP segment: errno \(errno)")
    }

    /// Waits until there is something to read, for half a minute at most.
    private func wait(for descriptor: Int32) -> Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, 30_000) == 1
    }

    /// A socket of the kernel's side, bound to the port that packets go to.
    private func boundSocket(_ type: __socket_type, isIPv6: Bool) throws -> Int32 {
        let descriptor = socket(isIPv6 ? AF_INET6 : AF_INET, Int32(type.rawValue), 0)
        var address = [UInt8](repeating: 0, count: isIPv6 ? 28 : 16)
        address.withUnsafeMutableBytes {
            $0.storeBytes(of: sa_family_t(isIPv6 ? AF_INET6 : AF_INET), as: sa_family_t.self)
        }
        address.store(wire: PacketBuilder().destinationPort, at: 2)
        let status = address.withUnsafeBytes {
            bind(
                descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self),
                socklen_t($0.count))
        }
        guard status == 0 else { throw Failure(description: "bind: errno \(errno)") }
        return descriptor
    }

    /// What a UDP socket receives of what `send` writes, until it has `count` datagrams.
    func datagrams(
        _ count: Int, isIPv6: Bool, while send: () throws -> Void
    ) throws -> [[UInt8]] {
        let descriptor = try boundSocket(SOCK_DGRAM, isIPv6: isIPv6)
        defer { close(descriptor) }
        try send()
        var datagrams: [[UInt8]] = []
        var bytes = [UInt8](repeating: 0, count: 65_536)
        while true {
            let length = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
            if length >= 0 { datagrams.append(Array(bytes[..<length])) }
            // Writing to the device has run the kernel's receive path to its end.
            if length < 0 && (datagrams.count >= count || !wait(for: descriptor)) { break }
        }
        return datagrams
    }

    /// What a TCP connection receives of what `send` writes, until it has `count` bytes; `send`
    /// gets a packet that continues the connection.
    func stream(
        _ count: Int, isIPv6: Bool, while send: (PacketBuilder) throws -> Void
    ) throws -> [UInt8] {
        let listener = try boundSocket(SOCK_STREAM, isIPv6: isIPv6)
        defer { close(listener) }
        guard listen(listener, 1) == 0 else { throw Failure(description: "listen") }
        var packet = packet(.tcp, isIPv6: isIPv6)
        packet.flags = 0x02
        packet.acknowledgement = 0
        packet.transportOptions = [2, 4, 0x05, 0x8C]  // longest segment: 1420 bytes
        try write(packet.bytes)
        let answer = try readTCP()
        packet.flags = 0x10
        packet.sequence += 1
        packet.acknowledgement =
            UInt32(answer.bytes.wire(at: answer.transport + 4)) << 16
            | UInt32(answer.bytes.wire(at: answer.transport + 6)) &+ 1
        packet.transportOptions = []
        try write(packet.bytes)
        let connection = wait(for: listener) ? accept(listener, nil, nil) : -1
        guard connection >= 0 else { throw Failure(description: "no connection") }
        defer { close(connection) }
        try send(packet)
        var stream: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 65_536)
        while stream.count < count && wait(for: connection) {
            let length = recv(connection, &bytes, bytes.count, 0)
            guard length > 0 else { break }
            stream += bytes[..<length]
        }
        return stream
    }

    /// How many packets the kernel of this namespace has refused for their checksum.
    func checksumErrors() throws -> Int {
        let counters = try String(contentsOfFile: "/proc/thread-self/net/snmp", encoding: .utf8)
        var sum = 0
        var names: [Substring] = []
        for line in counters.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.first == names.first {
                for (name, word) in zip(names, words) where name == "InCsumErrors" {
                    sum += Int(word)!
                }
            }
            names = words
        }
        let more = try String(contentsOfFile: "/proc/thread-self/net/snmp6", encoding: .utf8)
        for line in more.split(separator: "\n") where line.contains("InCsumErrors") {
            sum += Int(line.split(whereSeparator: \.isWhitespace)[1])!
        }
        return sum
    }
}

/// Carries a result out of a thread; the thread has ended when it is read.
private final class ResultBox<Outcome: Sendable>: @unchecked Sendable {
    var result: Result<Outcome, any Error>?
}
