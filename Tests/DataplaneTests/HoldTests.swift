// A data plane that comes to rest with its peers attached, over a real ring.

import Dataplane
import Glibc
import SwitchCore
import Testing

@Suite(.serialized, .enabled(if: hasRing, "needs io_uring"), .timeLimit(.minutes(10)))
struct HoldTests {
    private typealias Fixture = DataPlaneFixture

    /// Holds receiving, waits until all is forwarded, and holds everything.
    private func hold(_ fixture: DataPlaneFixture) throws {
        fixture.plane.hold(.receiving)
        try fixture.wait("no receive is armed") {
            fixture.plane.isAtRest && fixture.plane.crossingFrames == 0
        }
        fixture.plane.hold(.all)
        try fixture.wait("nothing moves") { fixture.plane.isAtRest }
    }

    private func numbered(_ number: Int, length: Int = 1000) -> [UInt8] {
        var frame = Fixture.frame(from: 0, to: 1, length: length)
        for place in 0..<4 { frame[40 + place] = UInt8(truncatingIfNeeded: number >> (8 * place)) }
        return frame
    }

    private func number(_ frame: [UInt8]) -> Int {
        (0..<4).reduce(0) { $0 + Int(frame[40 + $1]) << (8 * $1) }
    }

    /// Two ports that know each other's stations.
    private func pair(workers: Int, sendBuffer: Int32 = 1 << 20) throws -> DataPlaneFixture {
        let fixture = try Fixture(ports: 2, workers: workers)
        try fixture.attach(0)
        try fixture.attach(1, sendBuffer: sendBuffer, queueDelay: 60_000_000_000)
        try fixture.passTurns()
        #expect(fixture.send(Fixture.frame(from: 1, to: nil), from: 1))
        #expect(fixture.receive(0) != nil)
        return fixture
    }

    @Test(arguments: [1, 2]) func `what peers send while it rests waits, and nothing is lost`(
        workers: Int
    ) throws {
        let fixture = try pair(workers: workers)
        var (sent, received) = (0, 0)
        for _ in 0..<50 {
            for _ in 0..<10 {
                #expect(fixture.send(numbered(sent), from: 0))
                sent += 1
            }
            try hold(fixture)
            let before = fixture.plane.counters.snapshot()
            #expect(before.isBalanced && before.waiting == 0)
            for _ in 0..<10 {
                #expect(fixture.send(numbered(sent), from: 0))
                sent += 1
            }
            #expect(fixture.plane.counters.snapshot()[.receivedFrames] == before[.receivedFrames])
            fixture.plane.hold(.none)
            while received < sent, let frame = fixture.receive(1) {
                #expect(number(frame) == received)
                received += 1
            }
        }
        #expect(received == sent)
        try fixture.expectBalance()
        #expect(fixture.plane.counters.snapshot().dropped == 0)
        try fixture.stop()
    }

    /// Many frames come with one read, more than a turn forwards.
    @Test(arguments: [1, 2]) func `what was received of a stream goes on after a rest`(
        workers: Int
    ) throws {
        let fixture = try Fixture(ports: 2, workers: workers)
        try fixture.attach(0, transport: .stream)
        try fixture.attach(1, queueBytes: 1 << 22, queueDelay: 60_000_000_000)
        try fixture.passTurns()
        // So many that the ring between two workers holds them.
        let (rounds, each) = (20, 2000)
        var received = 0
        for round in 0..<rounds {
            let frames = (round * each..<(round + 1) * each).flatMap { number in
                let frame = numbered(number, length: 60)
                return [0, 0, 0, UInt8(frame.count)] + frame
            }
            var rest = frames[...]
            while !rest.isEmpty { rest = rest.dropFirst(fixture.write(rest, from: 0)) }
            try hold(fixture)
            let before = fixture.plane.counters.snapshot()
            #expect(before.isBalanced)
            fixture.plane.hold(.none)
            while received < (round + 1) * each, let frame = fixture.receive(1) {
                #expect(number(frame) == received)
                received += 1
            }
        }
        #expect(received == rounds * each)
        try fixture.expectBalance()
        #expect(fixture.plane.counters.snapshot().dropped == 0)
        try fixture.stop()
    }

    @Test(arguments: [1, 2]) func `what waits for a slow peer goes to a successor in order`(
        workers: Int
    ) throws {
        let old = try pair(workers: workers, sendBuffer: 4096)
        let count = 60
        for number in 0..<count { #expect(old.send(numbered(number), from: 0)) }
        let port = PortID(index: 1)
        try old.wait("frames wait") {
            old.plane.counters.snapshot()[.receivedFrames] == UInt64(count) + 1
        }
        try hold(old)
        let (frames, omitted) = old.plane.waitingFrames(of: port, bytesMax: 1 << 20)
        #expect(omitted == 0 && !frames.isEmpty)
        #expect(UInt64(frames.count) == old.plane.counters.snapshot(port: port)[.queuedFrames])
        let (first, rest) = old.plane.waitingFrames(of: port, bytesMax: 10_000)
        #expect(first == Array(frames[..<10]) && rest == frames.count - 10)

        let new = try Fixture(ports: 2, workers: workers)
        try new.attach(0)
        try new.attach(1, queueDelay: 60_000_000_000, waitingFrames: frames)
        try new.passTurns()
        #expect(new.send(Fixture.frame(from: 1, to: nil), from: 1))
        #expect(new.receive(0) != nil)
        for number in count..<2 * count { #expect(new.send(numbered(number), from: 0)) }
        var received: [Int] = []
        while received.count < count - frames.count {
            received.append(number(try #require(old.receive(1))))
        }
        while received.count < 2 * count { received.append(number(try #require(new.receive(1)))) }
        #expect(received == Array(0..<2 * count))
        try new.wait("every frame counts as sent") {
            let books = new.plane.counters.snapshot()
            return books[.sentFrames] == books[.receivedFrames] + UInt64(frames.count)
        }
        old.plane.hold(.none)
        try old.stop()
        try new.stop()
    }

    @Test func `a frame for which a successor has no room is counted`() throws {
        let fixture = try Fixture(ports: 1)
        let frames = (0..<3).map { _ in
            WaitingFrame(
                time: 1, ingress: PortID(index: 0), bytes: Array(repeating: 1, count: 1000))
        }
        try fixture.attach(0, queueBytes: 2200, queueDelay: 60_000_000_000, waitingFrames: frames)
        try fixture.wait("what has room is sent, or dropped as too old") {
            let books = fixture.plane.counters.snapshot()
            return books.dropped + books[.sentFrames] == 3 && books[dropped: .queueFull] == 1
        }
        try fixture.stop()
    }

    @Test func `a peer that leaves while all rests is noticed afterwards`() throws {
        let fixture = try pair(workers: 1)
        try hold(fixture)
        fixture.hangUp(1)
        fixture.plane.hold(.none)
        #expect(fixture.send(numbered(0), from: 0))
        try fixture.wait("the peer has gone") { fixture.events.contains { $0.kind == .peerGone } }
        try fixture.stop()
    }
}
