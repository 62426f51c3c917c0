// Settings that change under a peer that is attached, over a real ring.

import Dataplane
import Glibc
import SwitchCore
import Testing

@Suite(.serialized, .enabled(if: hasRing, "needs io_uring"), .timeLimit(.minutes(10)))
struct LiveChangeTests {
    private typealias Fixture = DataPlaneFixture

    private func settings(
        _ bytes: Int, _ discipline: QueueDiscipline = .fifo, floodRate: FloodRate = .unlimited
    ) -> LiveSettings {
        LiveSettings(
            queueBytes: bytes, queueDiscipline: discipline, queueDelayNanoseconds: 60_000_000_000,
            floodRate: floodRate)
    }

    private func numbered(_ number: Int) -> [UInt8] {
        var frame = Fixture.frame(from: 0, to: 1, length: 1000)
        for place in 0..<4 { frame[40 + place] = UInt8(truncatingIfNeeded: number >> (8 * place)) }
        return frame
    }

    private func number(_ frame: [UInt8]) -> Int {
        (0..<4).reduce(0) { $0 + Int(frame[40 + $1]) << (8 * $1) }
    }

    @Test(arguments: [1, 2]) func `frames that wait stay in order while the queue changes`(
        workers: Int
    ) throws {
        let fixture = try Fixture(ports: 2, workers: workers, handoverBytes: 1 << 20)
        try fixture.attach(0)
        try fixture.attach(1, sendBuffer: 4096)
        try fixture.passTurns()
        let port = PortID(index: 1)
        #expect(fixture.send(Fixture.frame(from: 1, to: nil), from: 1))
        #expect(fixture.receive(0) != nil)
        fixture.plane.change(port: port, to: settings(1 << 20))
        var sent = 0
        for round in 0..<40 {
            for _ in 0..<10 {
                try fixture.sendPatiently(numbered(sent), from: 0)
                sent += 1
            }
            // Several at once: the owner need not have taken the first.
            fixture.plane.change(
                port: port, to: settings(1 << 20, round % 2 == 0 ? .fifo : .fair(target: 1 << 40)))
            fixture.plane.change(port: port, to: settings((1 << 20) + round))
        }
        for expected in 0..<sent {
            let frame = try #require(fixture.receive(1), "\(expected) of \(sent)")
            #expect(number(frame) == expected)
        }
        try fixture.expectBalance()
        #expect(fixture.plane.counters.snapshot().dropped == 0)
        try fixture.stop()
    }

    @Test func `a smaller queue drops what has no room, under a name`() throws {
        let fixture = try Fixture(ports: 2)
        try fixture.attach(0)
        try fixture.attach(1, sendBuffer: 4096)
        let port = PortID(index: 1)
        #expect(fixture.send(Fixture.frame(from: 1, to: nil), from: 1))
        #expect(fixture.receive(0) != nil)
        fixture.plane.change(port: port, to: settings(1 << 20))
        for number in 0..<100 { try fixture.sendPatiently(numbered(number), from: 0) }
        try fixture.wait("frames wait") {
            fixture.plane.counters.snapshot(port: port)[.queuedFrames] > 50
        }
        fixture.plane.change(port: port, to: settings(10_000))
        try fixture.wait("frames are dropped, and the others have room") {
            let books = fixture.plane.counters.snapshot(port: port)
            return books[dropped: .queueFull] > 0 && books[.queuedBytes] <= 10_000
        }
        try fixture.expectBalance()
        try fixture.stop()
    }

    @Test(arguments: [1, 2]) func `storm control comes and goes under traffic`(
        workers: Int
    ) throws {
        let fixture = try Fixture(ports: 2, workers: workers)
        for port in 0..<2 { try fixture.attach(port, sendBuffer: 1 << 20) }
        let port = PortID(index: 0)
        let storm = Fixture.frame(from: 0, to: nil)
        let count: UInt64 = 100
        var sent: UInt64 = 0
        /// Floods, and returns how many of the frames were too many.
        func flood() throws -> UInt64 {
            let before = fixture.plane.counters.snapshot(port: port)[dropped: .stormLimited]
            for _ in 0..<count { try fixture.sendPatiently(storm, from: 0) }
            sent += count
            try fixture.wait("all frames have come") {
                fixture.plane.counters.snapshot()[.receivedFrames] == sent
            }
            // They are received before it is decided what becomes of them.
            try fixture.passTurns()
            return fixture.plane.counters.snapshot(port: port)[dropped: .stormLimited] - before
        }
        /// Changes the port, and waits until its owner has seen it.
        func change(_ rate: FloodRate) throws {
            fixture.plane.change(port: port, to: settings(1 << 20, floodRate: rate))
            try fixture.passTurns()
        }
        #expect(try flood() == 0)
        // One at once, and one more each second that this takes.
        try change(FloodRate(framesPerSecond: 1))
        #expect(try flood() >= count / 2)
        try change(.unlimited)
        #expect(try flood() == 0)
        try fixture.expectBalance()
        try fixture.stop()
    }

    @Test func `a change for a port without a peer, or that is leaving, is harmless`() throws {
        let fixture = try Fixture(ports: 2)
        let port = PortID(index: 1)
        fixture.plane.change(port: port, to: settings(1 << 20))
        for _ in 0..<20 {
            try fixture.attach(1)
            fixture.plane.change(port: port, to: settings(1 << 20))
            try fixture.detach(1)
            fixture.plane.change(port: port, to: settings(1 << 20))
        }
        try fixture.stop()
    }
}
