// TAP devices through the ring, each in a network namespace of a thread's own, which ends with the
// thread.
//
// The other side of the device is a packet socket on its interface: what it sends, the TAP reads,
// and what is written to the TAP, it receives. Only frames of the EtherType for local experiments
// count, since the kernel sends some of its own when a device comes up.

import Glibc
import IORing
import Testing

private let experimentalType: [UInt8] = [0x88, 0xB5]

/// A TAP device that is up, and a packet socket on it.
private struct TapDevice {
    let tap: Descriptor
    let host: Descriptor

    /// Makes the calling thread's own network namespace and the device in it.
    init() throws {
        #if arch(x86_64)
            let unshareNumber = 272
        #else
            let unshareNumber = 97
        #endif
        let newNetwork = 0x4000_0000  // CLONE_NEWNET
        try #require(rawSystemCall(unshareNumber, newNetwork, 0, 0, 0, 0, 0) == 0)
        tap = try Descriptor(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC))
        var request = TapDevice.request
        request.storeBytes(of: 0x1002, toByteOffset: 16, as: Int16.self)  // IFF_TAP | IFF_NO_PI
        try #require(request.control(tap.number, 0x4004_54CA) == 0)  // TUNSETIFF
        host = try Descriptor(
            // AF_PACKET, ETH_P_ALL
            socket(17, Int32(SOCK_RAW.rawValue), Int32(UInt16(3).bigEndian)))
        try #require(request.control(host.number, 0x8913) == 0)  // SIOCGIFFLAGS
        let flags = request.load(16, as: Int16.self)
        request.storeBytes(of: flags | 1, toByteOffset: 16, as: Int16.self)  // IFF_UP
        try #require(request.control(host.number, 0x8914) == 0)  // SIOCSIFFLAGS
        try #require(request.control(host.number, 0x8933) == 0)  // SIOCGIFINDEX
        var address = TapDevice.Bytes(count: 20)  // struct sockaddr_ll
        address.storeBytes(of: 17, toByteOffset: 0, as: UInt16.self)
        address.storeBytes(of: UInt16(3).bigEndian, toByteOffset: 2, as: UInt16.self)
        address.storeBytes(of: request.load(16, as: Int32.self), toByteOffset: 4, as: Int32.self)
        let bound = address.bytes.withUnsafeBytes {
            bind(host.number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), 20)
        }
        try #require(bound == 0)
    }

    func hostSends(_ frame: [UInt8]) -> Bool {
        send(host.number, frame, frame.count, 0) == frame.count
    }

    func hostReceivesAll() -> [[UInt8]] {
        var frames: [[UInt8]] = []
        var bytes = [UInt8](repeating: 0, count: 65_536)
        while case let count = recv(host.number, &bytes, bytes.count, Int32(MSG_DONTWAIT)),
            count >= 0
        {
            frames.append(Array(bytes.prefix(count)))
        }
        return frames.filter(isExperimental)
    }

    /// Reads the device until it has no more; the test's frames among what it gave.
    @discardableResult
    func readAll() -> [[UInt8]] {
        var frames: [[UInt8]] = []
        var bytes = [UInt8](repeating: 0, count: 2048)
        while case let count = read(tap.number, &bytes, bytes.count), count >= 0 {
            frames.append(Array(bytes.prefix(count)))
        }
        return frames.filter(isExperimental)
    }

    /// struct ifreq with the name "tap0".
    private static var request: Bytes {
        var bytes = Bytes(count: 40)
        bytes.bytes.replaceSubrange(0..<4, with: "tap0".utf8)
        return bytes
    }

    /// A C structure by its offsets.
    struct Bytes {
        var bytes: [UInt8]

        init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

        mutating func storeBytes<T: BitwiseCopyable>(of value: T, toByteOffset: Int, as: T.Type) {
            bytes.withUnsafeMutableBytes {
                $0.storeBytes(of: value, toByteOffset: toByteOffset, as: T.self)
            }
        }

        func load<T: BitwiseCopyable>(_ offset: Int, as: T.Type) -> T {
            bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) }
        }

        mutating func control(_ descriptor: Int32, _ number: UInt) -> Int32 {
            bytes.withUnsafeMutableBytes { ioctl(descriptor, number, $0.baseAddress!) }
        }
    }
}

private func isExperimental(_ frame: [UInt8]) -> Bool {
    frame.count >= 14 && Array(frame[12..<14]) == experimentalType
}

/// A broadcast frame that carries its number behind the header.
private func experimentalFrame(_ value: UInt8, length: Int = 60) -> [UInt8] {
    let header: [UInt8] =
        [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1] + experimentalType + [value]
    return header + [UInt8](repeating: value, count: length - header.count)
}

/// Runs a body on a thread with a TAP in slot 0 of a ring.
private func withTap(_ body: @escaping (TestRing, TapDevice) throws -> Void) {
    onOwnThread {
        let device = try TapDevice()
        let ring = try TestRing()
        try #require(ring.setFile(0, device.tap) == 0)
        try body(ring, device)
    }
}

@Suite(.enabled(if: isRoot, "network namespaces and TAP devices need root"))
struct TapTests {
    @Test func `a question is answered once, when there is a frame to read`() {
        withTap { ring, device in
            device.readAll()
            #expect(ring.armPoll(0, Int32(POLLIN), tag: tag(1)))
            #expect(ring.turn().isEmpty)
            for value in 0..<UInt8(3) { #expect(device.hostSends(experimentalFrame(value))) }
            let answers = try ring.turns(until: 1)
            #expect(answers.map(\.tag.kind) == [1])
            #expect(answers[0].result & Int32(POLLIN) != 0 && !answers[0].hasMore)
            #expect(device.readAll() == (0..<UInt8(3)).map { experimentalFrame($0) })
            #expect(device.hostSends(experimentalFrame(4)))
            #expect(ring.turn().isEmpty)
        }
    }

    @Test func `a question about frames that wait already is answered at once`() {
        withTap { ring, device in
            #expect(device.hostSends(experimentalFrame(1)))
            #expect(ring.armPoll(0, Int32(POLLIN), tag: tag(1)))
            #expect(ring.turn().map(\.tag.kind) == [1])
        }
    }

    @Test func `writes end inside the enter that submits them, in order and silently`() {
        withTap { ring, device in
            let frames = (0..<UInt8(50)).map { experimentalFrame($0, length: 60 + Int($0)) }
            #expect(ring.sendAll(frames, to: 0, operation: .write).isEmpty)
            #expect(device.hostReceivesAll() == frames)
        }
    }

    @Test func `a frame that the device refuses is named by its tag`() {
        withTap { ring, device in
            let frames = [experimentalFrame(1), [1, 2, 3], experimentalFrame(2)]
            let refused = ring.sendAll(frames, to: 0, operation: .write)
            #expect(refused.map(\.result) == [-EINVAL])
            #expect(refused.map(\.tag.slot) == [1])
            #expect(device.hostReceivesAll() == [frames[0], frames[2]])
        }
    }

    @Test func `a cancelled question answers and leaves frames in the device`() {
        withTap { ring, device in
            device.readAll()
            #expect(ring.armPoll(0, Int32(POLLIN), tag: tag(1)))
            ring.enter()
            #expect(ring.cancelAll(0, tag: tag(3)))
            var last: Completion?
            while last == nil {
                last = try ring.turns(until: 1).first { $0.tag.kind == 1 && !$0.hasMore }
            }
            #expect(last?.result == -ECANCELED)
            _ = ring.turn()
            #expect(device.hostSends(experimentalFrame(9)))
            #expect(ring.turn().isEmpty)
            #expect(device.readAll() == [experimentalFrame(9)])
        }
    }
}
