import CShimsSystem
import Foundation
import Glibc
import Logging
import SwitchCore
import Testing

@testable import Control

/// A guest with offloading joined to a port that the test plays.
private struct OffloadedGuest {
    let directory: TemporaryDirectory
    let port: PlayedPort
    let joiner: Joiner
    let copier: FrameCopier

    init(device: Int32) throws {
        directory = TemporaryDirectory()
        port = try PlayedPort(path: directory.path + "/port.sock")
        joiner = try Joiner(
            portPath: directory.path + "/port.sock",
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        copier = try FrameCopier(
            device: device, socket: joiner.descriptor, state: joiner.state, shape: .offloaded)
        try joiner.join()
        #expect(port.receive() == magic)
        try copier.start()
    }
}

/// `attach --offload` with a socket pair in the place of the TAP device.
@Suite(.serialized, .timeLimit(.minutes(5))) struct AttachOffloadCopierTests {
    @Test func `the header is left behind on the way out and zero on the way in`() throws {
        let device = try PlayedDevice()
        let guest = try OffloadedGuest(device: device.near)
        let header = (1...12).map { UInt8($0) }
        for (number, length) in [60, 1514, 65550, 14, 65549].enumerated() {
            let frame = numberedFrame(number, length: max(18, length))
            #expect(device.send(header + frame))
            #expect(guest.port.receive() == frame)
            #expect(guest.port.send(frame))
            #expect(device.receive() == [UInt8](repeating: 0, count: 12) + frame)
        }
        guest.copier.stop()
        let (up, down) = (guest.copier.uplinkCounters, guest.copier.downlinkCounters)
        // Headers are no part of a frame.
        #expect(up.snapshot.bytes == 60 + 1514 + 65550 + 18 + 65549)
        #expect(up.snapshot == down.snapshot)
    }

    @Test func `a frame longer than a guest's buffers is dropped`() throws {
        let device = try PlayedDevice()
        let guest = try OffloadedGuest(device: device.near)
        #expect(guest.port.send(numberedFrame(1, length: 65551)))
        #expect(guest.port.send(numberedFrame(2)))
        #expect(device.receive()?.count == 12 + 60)
        guest.copier.stop()
        #expect(guest.copier.downlinkCounters.snapshot.droppedOversize == 1)
    }
}

/// `attach --offload` with a TAP device, at 10.9.8.1; what the test sends is from 10.9.8.2.
@Suite(.enabled(if: mayMakeNamespaces), .serialized, .timeLimit(.minutes(5)))
struct AttachOffloadDeviceTests {
    private let namespace: NamedNamespace
    private let device: GuestDevice
    private let guest: OffloadedGuest

    init() throws {
        let options = AttachOptions(
            socketPath: "unused", namespace: "rs-test-\(getpid())-offload",
            addresses: [try #require(InterfaceAddress("10.9.8.1/24"))],
            mac: MACAddress("02:00:00:00:00:01"), offload: true)
        namespace = try NamedNamespace("rs-test-\(getpid())-offload")
        device = try GuestDevice(options)
        guest = try OffloadedGuest(device: device.descriptor)
        #expect(
            try run(
                "ip", "neigh", "add", "10.9.8.2", "lladdr", "02:00:00:00:00:02", "dev", "eth0"
            ).wait(milliseconds: 10_000) == 0)
    }

    private func run(_ arguments: String..., output: Int32 = -1) throws -> ChildProcess {
        let entrance = try namespace.open()
        defer { close(entrance) }
        return try ChildProcess(
            .init(arguments: arguments, networkNamespace: entrance, output: output))
    }

    /// The next frame to 10.9.8.2 with this IP protocol; what else the namespace says is skipped.
    private func nextFrame(protocol number: UInt8) throws -> [UInt8] {
        while true {
            let frame = try #require(guest.port.receive())
            if frame.count >= 34, frame.starts(with: [2, 0, 0, 0, 0, 2]), frame[12] == 8,
                frame[13] == 0, frame[23] == number
            {
                return frame
            }
        }
    }

    @Test func `a datagram leaves with an unfinished checksum, and cut up`() throws {
        let script = """
            use Socket;
            socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
            setsockopt($s, 17, 103, pack("i", 1000)) or die "segment: $!";
            send($s, "x" x 3000, 0, pack_sockaddr_in(9, inet_aton("10.9.8.2"))) or die "send: $!";
            """
        #expect(try run("perl", "-e", script).wait(milliseconds: 10_000) == 0)
        for _ in 0..<3 {
            let frame = try nextFrame(protocol: 17)
            #expect(frame.count == 42 + 1000)
            #expect(checksumField(frame, at: 40) == pseudoHeaderSum(frame))
        }
    }

    /// The test answers the first SYN with itself, so it agrees to every option.
    @Test func `TCP leaves in frames longer than the MTU`() throws {
        let script = """
            use Socket;
            socket(my $s, AF_INET, SOCK_STREAM, 0) or die "socket: $!";
            connect($s, pack_sockaddr_in(9, inet_aton("10.9.8.2"))) or die "connect: $!";
            syswrite($s, "x" x 100000) or die "write: $!";
            """
        let child = try run("perl", "-e", script)
        defer { child.end(graceMilliseconds: 0) }
        var answer = try nextFrame(protocol: 6)
        #expect(checksumField(answer, at: 50) == pseudoHeaderSum(answer))
        for offset in 0..<6 { answer.swapAt(offset, offset + 6) }
        for offset in 26..<30 { answer.swapAt(offset, offset + 4) }
        for offset in 34..<36 { answer.swapAt(offset, offset + 2) }
        // Its sequence number plus one is acknowledged; SYN and ACK.
        let number = answer[38..<42].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } &+ 1
        for index in 0..<4 {
            answer[42 + index] = UInt8(truncatingIfNeeded: number >> (24 - 8 * UInt32(index)))
        }
        answer[47] = 0x12
        complete(&answer, at: 50)
        #expect(guest.port.send(answer))
        // The acknowledgement comes first. Without a long frame, none comes in the end.
        while try nextFrame(protocol: 6).count <= 1514 {}
    }

    @Test func `a long frame arrives whole, and one with an unfinished checksum does not`() throws {
        let script = """
            use Socket;
            $| = 1;
            alarm 20;
            socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
            bind($s, pack_sockaddr_in(9, INADDR_ANY)) or die "bind: $!";
            print "ready\\n";
            recv($s, my $first, 70000, 0);
            print length($first), "\\n";
            """
        let pipe = Pipe()
        let child = try run(
            "perl", "-e", script, output: pipe.fileHandleForWriting.fileDescriptor)
        try pipe.fileHandleForWriting.close()
        #expect(try pipe.fileHandleForReading.read(upToCount: 6) == Data("ready\n".utf8))
        let unfinished = datagram(payload: 50_000)
        var finished = datagram(payload: 60_000)
        complete(&finished, at: 40)
        #expect(guest.port.send(unfinished) && guest.port.send(finished))
        #expect(try pipe.fileHandleForReading.readToEnd() == Data("60000\n".utf8))
        #expect(child.wait(milliseconds: 10_000) == 0)
    }
}

// MARK: Frames

/// A datagram to port 9 of 10.9.8.1 whose UDP checksum is the pseudo-header's alone.
private func datagram(payload: Int) -> [UInt8] {
    func word(_ value: Int) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }
    var frame: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]
    frame += [0x45, 0] + word(28 + payload) + [0, 0, 0x40, 0, 64, 17, 0, 0]
    frame += [10, 9, 8, 2, 10, 9, 8, 1] + [0, 9, 0, 9] + word(8 + payload) + [0, 0]
    frame += [UInt8](repeating: 0x78, count: payload)
    let header = ~sum(frame, 14..<34)
    frame.replaceSubrange(24..<26, with: word(Int(header)))
    frame.replaceSubrange(40..<42, with: word(Int(pseudoHeaderSum(frame))))
    return frame
}

/// Ones-complement sum of 16-bit words (RFC 1071), on top of `start`.
private func sum(_ frame: [UInt8], _ range: Range<Int>, from start: Int = 0) -> UInt16 {
    var sum = start
    for offset in range { sum += Int(frame[offset]) << (offset.isMultiple(of: 2) ? 8 : 0) }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    return UInt16(sum)
}

/// The sum of addresses, protocol and length of an IPv4 packet without options.
private func pseudoHeaderSum(_ frame: [UInt8]) -> UInt16 {
    let length = Int(frame[16]) << 8 + Int(frame[17]) - 20
    return sum(frame, 26..<34, from: Int(frame[23]) + length)
}

private func checksumField(_ frame: [UInt8], at offset: Int) -> UInt16 {
    UInt16(frame[offset]) << 8 | UInt16(frame[offset + 1])
}

private func complete(_ frame: inout [UInt8], at offset: Int) {
    (frame[offset], frame[offset + 1]) = (0, 0)
    let checksum = ~sum(frame, 34..<frame.count, from: Int(pseudoHeaderSum(frame)))
    (frame[offset], frame[offset + 1]) = (UInt8(checksum >> 8), UInt8(checksum & 0xff))
}
