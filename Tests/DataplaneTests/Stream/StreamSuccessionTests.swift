// Streams that go from one data plane to the next amid frames, over a real ring.

import Dataplane
import Glibc
import Support
import SwitchCore
import Testing

/// One end of a stream, which writes and reads in pieces of any length.
private final class StreamPeer {
    let port: PortID
    private var number: UInt32 = 0
    private var outbox: [UInt8] = []
    private var inbox: [UInt8] = []
    private var lastRead: UInt32 = 0
    private(set) var faults: [String] = []

    init(_ port: Int) { self.port = PortID(index: port) }

    /// Frames that were made, whether they were written or not.
    var madeCount: Int { Int(number) }
    var readCount: Int { Int(lastRead) }
    var unwrittenBytes: Int { outbox.count }

    /// Makes a frame for the station behind another port.
    func make(for other: Int, length: Int) {
        number += 1
        let frame = SimulatedFrame(
            from: port, to: SimulatedFrame.station(PortID(index: other)), number: number,
            length: length)
        for shift in stride(from: 24, through: 0, by: -8) {
            outbox.append(UInt8(truncatingIfNeeded: length >> shift))
        }
        outbox += frame.bytes
    }

    /// Writes so many bytes at most.
    func write(_ descriptor: Int32, _ count: Int) {
        let sent = Glibc.send(descriptor, outbox, min(count, outbox.count), Int32(MSG_DONTWAIT))
        if sent > 0 { outbox.removeFirst(sent) }
    }

    /// Reads so many bytes at most, and demands that the frames are whole and in order.
    func read(_ descriptor: Int32, _ count: Int) {
        guard count > 0 else { return }
        var buffer = [UInt8](repeating: 0, count: count)
        let received = recv(descriptor, &buffer, count, Int32(MSG_DONTWAIT))
        if received > 0 { inbox += buffer[..<received] }
        while inbox.count >= 4 {
            let length = inbox[..<4].reduce(0) { $0 << 8 | Int($1) }
            guard inbox.count >= 4 + length else { return }
            let frame = SimulatedFrame(delivered: Array(inbox[4..<(4 + length)]))
            inbox.removeFirst(4 + length)
            lastRead += 1
            if frame?.number != lastRead {
                faults.append("frame \(frame?.number ?? 0) of \(length) bytes for \(lastRead)")
            }
        }
    }
}

@Suite(.serialized, .enabled(if: hasRing, "needs io_uring"), .timeLimit(.minutes(10)))
struct StreamSuccessionTests {
    /// Two streams that go from data plane to data plane.
    private struct Relay {
        let seed: UInt64
        let workers: Int
        let frameLengthMax: Int
        var fixture: DataPlaneFixture
        var generator: SeededGenerator
        let peers = [StreamPeer(0), StreamPeer(1)]
        /// Frames that this data plane was left by its predecessor.
        var inherited: UInt64 = 0
        var positions: [StreamPosition] = []

        init(seed: UInt64, workers: Int, frameLengthMax: Int) throws {
            self.seed = seed
            self.workers = workers
            self.frameLengthMax = frameLengthMax
            generator = SeededGenerator(seed: seed)
            fixture = try Self.makeFixture(workers)
            for port in 0..<2 {
                try fixture.attach(
                    port, transport: .stream, frameLengthMax: frameLengthMax,
                    sendBuffer: 16 << 10, queueBytes: 8 << 20, queueDelay: 120_000_000_000)
            }
            try fixture.passTurns()
        }

        /// Between its workers there is room for all that peers say before the next one.
        private static func makeFixture(_ workers: Int) throws -> DataPlaneFixture {
            try DataPlaneFixture(ports: 2, workers: workers, handoverBytes: 8 << 20)
        }

        /// Lets the peers write and read at random.
        mutating func talk() {
            for _ in 0..<60 {
                let port = Int.random(in: 0..<2, using: &generator)
                while peers[port].unwrittenBytes < 5000 {
                    let most = [60, 1514, frameLengthMax].randomElement(using: &generator) ?? 60
                    peers[port].make(
                        for: 1 - port,
                        length: Int.random(in: SimulatedFrame.lengthMin...most, using: &generator))
                }
                let count = [1, 3, 700, 50_000].randomElement(using: &generator) ?? 1
                peers[port].write(fixture.ends[port], count)
                // One is slower than the other.
                peers[port].read(fixture.ends[port], port == 0 ? count : count / 20)
            }
        }

        /// Lets a peer write all but the last byte of what it has made, and waits until that was
        /// taken.
        func breakOff(_ port: Int) throws {
            let peer = peers[port]
            peer.make(for: 1 - port, length: SimulatedFrame.lengthMin)
            try fixture.wait("the switch is amid a frame of port \(port)") {
                peer.write(fixture.ends[port], peer.unwrittenBytes - 1)
                return peer.unwrittenBytes == 1 && !fixture.hasUnreadBytes
            }
            try fixture.passTurns()
        }

        /// Lets another data plane go on.
        mutating func succeed() throws {
            let old = fixture
            old.plane.hold(.receiving)
            try old.wait("no receive is armed") {
                old.plane.isAtRest && old.plane.crossingFrames == 0
            }
            old.plane.hold(.all)
            try old.wait("nothing moves") { old.plane.isAtRest }
            let books = old.plane.counters.snapshot()
            #expect(
                inherited + books[.receivedFrames] + books[.floodCopies]
                    == books[.sentFrames] + books.waiting, "seed \(seed): \(books.dropped) lost")
            inherited = 0
            let new = try Self.makeFixture(workers)
            new.plane.hold(.receiving)
            for port in 0..<2 {
                let id = PortID(index: port)
                let position = try #require(old.plane.streamPosition(of: id))
                positions.append(position)
                let (waiting, omitted) = old.plane.waitingFrames(of: id, bytesMax: .max)
                #expect(omitted == 0)
                inherited += UInt64(waiting.count + (position.unsent.isEmpty ? 0 : 1))
                let pair = try old.giveAway(port)
                try new.attach(
                    pair,
                    ConnectionSettings(
                        port: id, transport: .stream, descriptor: pair[0],
                        frameLengthMax: frameLengthMax, queueBytes: 8 << 20,
                        queueDelayNanoseconds: 120_000_000_000, waitingFrames: waiting,
                        streamPosition: position))
            }
            #expect(inherited == books.waiting, "seed \(seed)")
            try old.stop()
            try new.wait("both are attached") {
                new.events.filter { $0.kind == .activated }.count == 2
            }
            #expect(new.plane.counters.snapshot()[.receivedFrames] == 0, "seed \(seed)")
            new.plane.hold(.none)
            fixture = new
        }

        /// Lets the peers write and read all that there is.
        mutating func finish() throws {
            try fixture.wait("every frame has come") {
                for port in 0..<2 {
                    peers[port].write(fixture.ends[port], 100_000)
                    peers[port].read(fixture.ends[port], 100_000)
                }
                return peers[0].readCount == peers[1].madeCount
                    && peers[1].readCount == peers[0].madeCount
            }
            let total = inherited
            try fixture.wait("the books are balanced") {
                let books = fixture.plane.counters.snapshot()
                return total + books[.receivedFrames] == books[.sentFrames]
            }
            for peer in peers { #expect(peer.faults == [], "seed \(seed), port \(peer.port)") }
            try fixture.stop()
        }
    }

    @Test(arguments: Seeds.list(4), [1518, 65_550])
    func `streams that are taken over amid frames stay whole and in order`(
        seed: UInt64, frameLengthMax: Int
    ) throws {
        var relay = try Relay(
            seed: seed, workers: Int(seed % 2) + 1, frameLengthMax: frameLengthMax)
        for round in 0..<8 {
            relay.talk()
            // At other times the workers may have read of this much, little or nothing.
            if round % 4 == 0 { try relay.breakOff(round / 4) }
            try relay.succeed()
        }
        try relay.finish()
        // What the test is about has happened.
        #expect(relay.positions.count { !$0.received.isEmpty } >= 2, "seed \(seed)")
    }

    @Test func `frames that a predecessor had whole are forwarded though nothing comes`() throws {
        let fixture = try DataPlaneFixture(ports: 2)
        try fixture.attach(1, queueDelay: 60_000_000_000)
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        try #require(socketpair(AF_UNIX, type, 0, &pair) == 0)
        let frames = (0..<500).map { DataPlaneFixture.frame(from: 0, to: nil, length: 100 + $0) }
        var bytes: [UInt8] = []
        for frame in frames {
            bytes += [0, 0, UInt8(frame.count >> 8), UInt8(truncatingIfNeeded: frame.count)]
            bytes += frame
        }
        fixture.plane.hold(.receiving)
        try fixture.attach(
            pair,
            ConnectionSettings(
                port: PortID(index: 0), transport: .stream, descriptor: pair[0],
                frameLengthMax: 1518, queueBytes: 1 << 18, queueDelayNanoseconds: 1_000_000,
                streamPosition: StreamPosition(received: bytes + [0, 0])))
        try fixture.wait("the stream is attached, and all rests") {
            fixture.plane.isAtRest
                && fixture.events.contains { $0.kind == .activated && $0.port.index == 0 }
        }
        #expect(fixture.receive(1, milliseconds: 0) == nil)
        fixture.plane.hold(.none)
        for frame in frames { #expect(fixture.receive(1) == frame) }
        // The socket goes on amid the length of the next frame.
        #expect(fixture.write([0, 60] + frames[0][..<60], from: 0) == 62)
        #expect(fixture.receive(1) == Array(frames[0][..<60]))
        try fixture.expectBalance()
        try fixture.stop()
    }

    @Test func `a position that is nobody's costs its own connection alone`() throws {
        let fixture = try DataPlaneFixture(ports: 2)
        try fixture.attach(1)
        try fixture.attach(
            0, transport: .stream,
            streamPosition: StreamPosition(received: Array(repeating: 0xFF, count: 200_000)))
        try fixture.wait("the stream has ended") {
            fixture.events.contains { $0.kind == .peerGone && $0.ending == .desynchronised }
        }
        try fixture.expectBalance()
        try fixture.stop()
    }
}
