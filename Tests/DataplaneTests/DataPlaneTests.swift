// The data plane over real rings and sockets: attach, forward, detach, attach again.

import Dataplane
import Glibc
import SwitchCore
import Testing

@Suite(.serialized, .enabled(if: hasRing, "needs io_uring"), .timeLimit(.minutes(10)))
struct DataPlaneTests {
    private typealias Fixture = DataPlaneFixture

    @Test(arguments: [1, 2]) func `frames are flooded, learned and then sent to one port`(
        workers: Int
    ) throws {
        let fixture = try Fixture(ports: 3, workers: workers)
        for port in 0..<3 { try fixture.attach(port) }
        try fixture.wait("activation") {
            fixture.events.filter { $0.kind == .activated }.count == 3
        }
        try fixture.passTurns()
        let hello = Fixture.frame(from: 0, to: nil)
        #expect(fixture.send(hello, from: 0))
        #expect(fixture.receive(1) == hello)
        #expect(fixture.receive(2) == hello)
        let answer = Fixture.frame(from: 2, to: 0)
        #expect(fixture.send(answer, from: 2))
        #expect(fixture.receive(0) == answer)
        #expect(fixture.receive(1, milliseconds: 0) == nil)
        try fixture.expectBalance()
        try fixture.stop()
    }

    @Test func `a port comes back with a new peer and the old station is forgotten`() throws {
        let fixture = try Fixture(ports: 3)
        for port in 0..<3 { try fixture.attach(port) }
        #expect(fixture.send(Fixture.frame(from: 1, to: nil), from: 1))
        #expect(fixture.receive(0) != nil)
        #expect(fixture.receive(2) != nil)
        try fixture.detach(1)
        try fixture.attach(1)
        let lost = Fixture.frame(from: 0, to: 1)
        #expect(fixture.send(lost, from: 0))
        #expect(fixture.receive(1) == lost, "flooded, as its station is unknown")
        #expect(fixture.receive(2) == lost)
        try fixture.stop()
    }

    @Test func `what a late turn learned of a detached port is forgotten with its connection`()
        throws
    {
        let fixture = try Fixture(ports: 2)
        try fixture.attach(0)
        fixture.plane.detach(port: PortID(index: 0))
        _ = fixture.plane.macTable.learn(
            source: Fixture.station(0), vlan: 0, port: PortID(index: 0), now: 1)
        try fixture.wait("retirement") { fixture.events.contains { $0.kind == .retired } }
        #expect(
            fixture.plane.macTable.lookup(destination: Fixture.station(0), vlan: 0, now: 1) == nil)
        fixture.closeEnds(0)
        try fixture.stop()
    }

    @Test func `early frames arrive before those that the ring receives`() throws {
        let fixture = try Fixture(ports: 2)
        try fixture.attach(1)
        let early = (60..<63).map { Fixture.frame(from: 0, to: 1, length: $0) }
        try fixture.attach(0, earlyFrames: early)
        #expect(fixture.send(Fixture.frame(from: 0, to: 1, length: 63), from: 0))
        #expect((60...63).map { _ in fixture.receive(1)?.count } == [60, 61, 62, 63])
        try fixture.expectBalance()
        try fixture.stop()
    }

    @Test func `a connection that is taken back at once is retired all the same`() throws {
        let fixture = try Fixture(ports: 1)
        for _ in 0..<200 {
            try fixture.attach(0)
            try fixture.detach(0)
        }
        try fixture.stop()
    }

    @Test func `a peer that has gone is reported and its frames are counted`() throws {
        let fixture = try Fixture(ports: 2)
        for port in 0..<2 { try fixture.attach(port) }
        try fixture.wait("activation") {
            fixture.events.filter { $0.kind == .activated }.count == 2
        }
        fixture.hangUp(1)
        #expect(fixture.send(Fixture.frame(from: 0, to: 1), from: 0))
        try fixture.wait("peerGone") {
            fixture.events.contains { $0.kind == .peerGone && $0.port.index == 1 }
        }
        try fixture.expectBalance()
        #expect(fixture.plane.counters.snapshot(port: PortID(index: 1))[dropped: .noPeer] == 1)
        try fixture.stop()
    }

    @Test(arguments: [1, 2]) func `a reader that stops costs others nothing, and order holds`(
        workers: Int
    ) throws {
        let fixture = try Fixture(ports: 4, workers: workers)
        try fixture.attach(0)
        try fixture.attach(1, sendBuffer: 16 * 1024)
        try fixture.attach(2)
        try fixture.attach(3)
        try fixture.passTurns()
        for port in 0..<4 { #expect(fixture.send(Fixture.frame(from: port, to: nil), from: port)) }
        for port in 0..<4 { for _ in 0..<3 { #expect(fixture.receive(port) != nil) } }
        for number in 0..<2000 {
            #expect(fixture.send(Fixture.frame(from: 0, to: 1, length: 1000), from: 0))
            #expect(
                fixture.send(Fixture.frame(from: 2, to: 3, length: 60 + number % 1000), from: 2))
            #expect(fixture.receive(3)?.count == 60 + number % 1000)
        }
        try fixture.expectBalance()
        let stuck = fixture.plane.counters.snapshot(port: PortID(index: 1))
        #expect(stuck[dropped: .queueExpired] + stuck[dropped: .queueFull] > 0)
        #expect(fixture.plane.counters.snapshot(port: PortID(index: 3)).dropped == 0)
        try fixture.stop()
    }

    @Test(arguments: [1, 2]) func `a peer that pauses is refused in time, and loses nothing`(
        workers: Int
    ) throws {
        let fixture = try Fixture(ports: 2, workers: workers)
        try fixture.attach(0, sendBuffer: 64 * 1024, pauses: true)
        // Nothing grows too old in this test.
        try fixture.attach(1, sendBuffer: 16 * 1024, queueDelay: 1_000_000_000_000)
        try fixture.passTurns()
        for port in 0..<2 { #expect(fixture.send(Fixture.frame(from: port, to: nil), from: port)) }
        for port in 0..<2 { #expect(fixture.receive(port) != nil) }
        var sent = 0
        try fixture.wait("a refusal that lasts until the pause") {
            while fixture.send(
                Fixture.frame(from: 0, to: 1, length: 60 + sent % 1000), from: 0)
            { sent += 1 }
            return fixture.plane.counters.block(port: PortID(index: 0))[.pausedPorts] == 1
        }
        let waiting = fixture.plane.counters.snapshot(port: PortID(index: 1))[.queuedFrames]
        #expect(waiting <= 64 || workers > 1, "as many as the port has receive buffers")
        #expect(sent < 1000, "the peer is told in time")

        // It goes on as the other one reads.
        var received = 0
        while received < 5000 {
            while sent < 5000,
                fixture.send(
                    Fixture.frame(from: 0, to: 1, length: 60 + sent % 1000), from: 0)
            { sent += 1 }
            let frame = try #require(fixture.receive(1), "\(received) of \(sent)")
            try #require(frame.count == 60 + received % 1000)
            received += 1
        }
        let counters = fixture.plane.counters.snapshot()
        #expect(counters.dropped == 0)
        #expect(counters[.pauses] > 1)
        try fixture.expectBalance()
        try fixture.stop()
    }

    @Test func `a stopped data plane leaves no descriptor open`() async {
        // In a process of its own: other tests open descriptors at the same time.
        await #expect(processExitsWith: .success) {
            try DataPlaneFixture(ports: 2, workers: 2).stop()
            let before = openDescriptorCount()
            for _ in 0..<3 {
                let fixture = try DataPlaneFixture(ports: 2, workers: 2)
                try fixture.attach(0)
                try fixture.attach(1)
                try fixture.stop()
            }
            exit(openDescriptorCount() == before ? EXIT_SUCCESS : EXIT_FAILURE)
        }
    }
}
