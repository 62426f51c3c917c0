// What is counted of streams that end amid everything, over a real ring.

import Dataplane
import Glibc
import SwitchCore
import Testing

@Suite(.serialized, .enabled(if: hasRing, "needs io_uring"), .timeLimit(.minutes(10)))
struct StreamBooksTests {
    private typealias Fixture = DataPlaneFixture

    private static let frameCount = 100

    /// A stream port 1 whose peer does not read, with frames of port 0 in its socket and queue.
    private func makeCongested() throws -> DataPlaneFixture {
        let fixture = try Fixture(ports: 2)
        // The kernel takes a frame of this length in several pieces.
        try fixture.attach(0, frameLengthMax: 30_000)
        try fixture.attach(
            1, transport: .stream, frameLengthMax: 30_000, sendBuffer: 16 << 10,
            queueBytes: 16 << 20, queueDelay: 60_000_000_000)
        for number in 0..<Self.frameCount {
            let frame = Fixture.frame(from: 0, to: nil, length: 20_000 + number)
            try fixture.sendPatiently(frame, from: 0)
        }
        try fixture.wait("the switch has all frames") {
            fixture.plane.counters.snapshot()[.receivedFrames] == UInt64(Self.frameCount)
        }
        try fixture.expectBalance()
        return fixture
    }

    /// Reads all that lies in a stream, and returns how many whole frames there are, and how many
    /// bytes of one more.
    private func wholeFrames(_ descriptor: Int32) -> (count: Int, rest: Int) {
        var bytes: [UInt8] = []
        return wholeFrames(descriptor, after: &bytes)
    }

    /// The same with what was read before.
    private func wholeFrames(
        _ descriptor: Int32, after bytes: inout [UInt8]
    ) -> (count: Int, rest: Int) {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        var (count, position) = (0, 0)
        while position + 4 <= bytes.count {
            let length = bytes[position..<(position + 4)].reduce(0) { $0 << 8 | Int($1) }
            guard position + 4 + length <= bytes.count else { break }
            count += 1
            position += 4 + length
        }
        return (count, bytes.count - position)
    }

    @Test func `what counts as sent is what the peer can read whole, when its port goes`() throws {
        let fixture = try makeCongested()
        let pair = try fixture.giveAway(1)
        defer { for descriptor in pair { close(descriptor) } }
        let (whole, rest) = wholeFrames(pair[1])
        let books = fixture.plane.counters.snapshot(port: PortID(index: 1))
        #expect(whole > 0 && rest > 0)
        #expect(books[.sentFrames] == UInt64(whole))
        #expect(books[dropped: .portRemoved] == UInt64(Self.frameCount - whole))
        #expect(books[.queuedFrames] == 0 && books[.queuedBytes] == 0)
        try fixture.expectBalance()
        try fixture.stop()
    }

    @Test func `what counts as sent is what the peer could read whole, when it closes`() throws {
        let fixture = try makeCongested()
        let before = fixture.plane.counters.snapshot(port: PortID(index: 1))
        // The frame that was cut off waits, as those behind it do.
        #expect(
            before[.sentFrames] + before[.queuedFrames] == UInt64(Self.frameCount))
        fixture.hangUp(1)
        try fixture.wait("the end is seen") {
            fixture.events.contains { $0.kind == .peerGone && $0.port.index == 1 }
        }
        let books = fixture.plane.counters.snapshot(port: PortID(index: 1))
        #expect(books[.sentFrames] == before[.sentFrames])
        #expect(books[dropped: .noPeer] == before[.queuedFrames])
        #expect(books[.queuedFrames] == 0)
        try fixture.expectBalance()
        try fixture.stop()
    }

    @Test func `a frame that was cut off goes on at a successor`() throws {
        let old = try makeCongested()
        old.plane.hold(.all)
        try old.wait("nothing moves") { old.plane.isAtRest }
        let port = PortID(index: 1)
        let position = try #require(old.plane.streamPosition(of: port))
        #expect(!position.unsent.isEmpty && position.received.isEmpty)
        let (waiting, _) = old.plane.waitingFrames(of: port, bytesMax: .max)
        let pair = try old.giveAway(1)
        try old.stop()

        let new = try Fixture(ports: 2)
        try new.attach(
            pair,
            ConnectionSettings(
                port: port, transport: .stream, descriptor: pair[0], frameLengthMax: 30_000,
                queueBytes: 16 << 20, queueDelayNanoseconds: 60_000_000_000,
                waitingFrames: waiting, streamPosition: position))
        var bytes: [UInt8] = []
        try new.wait("every frame has come whole") {
            wholeFrames(pair[1], after: &bytes) == (Self.frameCount, 0)
        }
        try new.wait("it counts as sent") {
            new.plane.counters.snapshot()[.sentFrames] == UInt64(waiting.count + 1)
        }
        try new.stop()
    }

    @Test func `what was received whole of a port that goes is received, and dropped`() throws {
        let fixture = try Fixture(ports: 2)
        try fixture.attach(1)
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        try #require(socketpair(AF_UNIX, type, 0, &pair) == 0)
        let behindLength: [UInt8] = [0, 0, 0, 100] + Fixture.frame(from: 0, to: nil)
        let bytes = behindLength + behindLength + behindLength
        fixture.plane.hold(.receiving)
        try fixture.attach(
            pair,
            ConnectionSettings(
                port: PortID(index: 0), transport: .stream, descriptor: pair[0],
                frameLengthMax: 1518, queueBytes: 1 << 18, queueDelayNanoseconds: 1_000_000,
                streamPosition: StreamPosition(received: bytes + behindLength[..<70])))
        try fixture.wait("the stream is attached") {
            fixture.events.contains { $0.kind == .activated && $0.port.index == 0 }
        }
        try fixture.detach(0)
        let books = fixture.plane.counters.snapshot(port: PortID(index: 0))
        #expect(books[.receivedFrames] == 3 && books[.receivedBytes] == 300)
        #expect(books[dropped: .portRemoved] == 3)
        fixture.plane.hold(.none)
        try fixture.expectBalance()
        try fixture.stop()
    }

    @Test func `what a predecessor left to a port that comes and goes is counted`() throws {
        let fixture = try Fixture(ports: 1)
        let behindLength: [UInt8] = [0, 0, 0, 100] + Fixture.frame(from: 0, to: nil)
        let waiting = WaitingFrame(
            time: 1, ingress: PortID(index: 0), bytes: Fixture.frame(from: 0, to: nil))
        fixture.plane.hold(.all)
        let rounds: UInt64 = 50
        for _ in 0..<rounds {
            try fixture.attach(
                0, transport: .stream, waitingFrames: [waiting, waiting],
                streamPosition: StreamPosition(
                    received: behindLength + behindLength + [0], unsent: [1, 2, 3]))
            // Its owner may have seen it, or not.
            try fixture.detach(0)
        }
        let books = fixture.plane.counters.snapshot(port: PortID(index: 0))
        #expect(books[.receivedFrames] == 2 * rounds)
        #expect(books[dropped: .portRemoved] == 5 * rounds)
        #expect(books[.sentFrames] == 0 && books[.queuedFrames] == 0)
        try fixture.stop()
    }

    @Test func `a packet of no bytes is a runt and not the end`() throws {
        let fixture = try Fixture(ports: 2)
        try fixture.attach(0, transport: .seqpacket)
        try fixture.attach(1)
        let frame = Fixture.frame(from: 0, to: 1)
        for _ in 0..<3 {
            #expect(fixture.send([], from: 0))
            #expect(fixture.send(frame, from: 0))
            #expect(fixture.receive(1) == frame)
        }
        #expect(fixture.plane.counters.snapshot(port: PortID(index: 0))[dropped: .runt] == 3)
        #expect(!fixture.events.contains { $0.kind == .peerGone })
        #expect(fixture.send([], from: 0))
        #expect(fixture.send(frame, from: 0))
        fixture.hangUp(0)
        try fixture.wait("the end is seen") {
            fixture.events.contains { $0.kind == .peerGone && $0.ending == .closed }
        }
        #expect(fixture.receive(1) == frame)
        try fixture.expectBalance()
        try fixture.stop()
    }
}
