// What the data plane may cost: no allocation, and few system calls.

import AllocationCounter
import CShimsSystem
import Glibc
import IORing
import Support
import SwitchCore
import Testing

@testable import Dataplane

@Suite(.serialized, .enabled(if: hasRing, "needs io_uring"), .timeLimit(.minutes(10)))
struct DataPlaneBudgetTests {
    /// Frames of a measurement.
    private let frameCount = 100_000
    /// Frames that wait in a socket when the worker wakes.
    private let burst = 64
    /// io_uring_enter calls for each frame, under load.
    private let entersPerFrame = 0.2

    /// Sends bursts from port 0 to port 1 and from 1 to 0, and takes them at the other end.
    private func forward(_ count: Int, over fixture: DataPlaneFixture) throws {
        let frames = [
            DataPlaneFixture.frame(from: 0, to: 1, length: 1514),
            DataPlaneFixture.frame(from: 1, to: 0, length: 1514),
        ]
        var buffer = [UInt8](repeating: 0, count: 2048)
        var left = count
        while left > 0 {
            var waiting = [0, 0]
            for port in 0..<2 {
                for _ in 0..<burst where fixture.send(frames[port], from: port) {
                    waiting[port] += 1
                }
            }
            for port in 0..<2 {
                for _ in 0..<waiting[1 - port] {
                    var poll = pollfd(fd: fixture.ends[port], events: Int16(POLLIN), revents: 0)
                    try #require(Glibc.poll(&poll, 1, 30_000) == 1, "a frame was lost")
                    try #require(recv(fixture.ends[port], &buffer, 2048, 0) == 1514)
                    left -= 1
                }
            }
        }
    }

    private func makeFixture() throws -> DataPlaneFixture {
        let fixture = try DataPlaneFixture(ports: 2)
        try fixture.attach(0)
        try fixture.attach(1)
        try fixture.wait("activation") {
            fixture.events.filter { $0.kind == .activated }.count == 2
        }
        for port in 0..<2 {
            #expect(fixture.send(DataPlaneFixture.frame(from: port, to: nil), from: port))
            #expect(fixture.receive(1 - port) != nil)
        }
        try forward(1000, over: fixture)
        return fixture
    }

    @Test(.enabled(if: allocation_counter_works(), "the sanitizer needs malloc for itself"))
    func `a worker allocates nothing while frames flow`() throws {
        let fixture = try makeFixture()
        let worker = try thread(named: "worker-0")
        let before = allocation_counter_count(worker)
        try forward(frameCount, over: fixture)
        let after = allocation_counter_count(worker)
        #expect(before > 0, "the worker's set-up allocates, so that the counter is seen to work")
        #expect(after - before == 0)
        try fixture.stop()
    }

    @Test(.enabled(if: allocation_counter_works(), "the sanitizer needs malloc for itself"))
    func `a worker allocates nothing while a port is congested`() throws {
        let fixture = try DataPlaneFixture(ports: 3)
        try fixture.attach(0)
        try fixture.attach(1, sendBuffer: 16 * 1024)
        try fixture.attach(2)
        try fixture.wait("activation") {
            fixture.events.filter { $0.kind == .activated }.count == 3
        }
        let worker = try thread(named: "worker-0")
        let frame = DataPlaneFixture.frame(from: 0, to: nil, length: 1000)
        #expect(fixture.send(frame, from: 0))
        #expect(fixture.receive(2) != nil)
        var before: Int64 = 0
        for number in 0..<22_000 {
            // The first frames bring the runtime's own caches.
            if number == 2000 { before = allocation_counter_count(worker) }
            while !fixture.send(frame, from: 0) {}
            try #require(fixture.receive(2) != nil)
        }
        #expect(allocation_counter_count(worker) - before == 0)
        let drops = fixture.plane.counters.snapshot(port: PortID(index: 1))
        #expect(drops[dropped: .queueExpired] + drops[dropped: .floodLimited] > 0)
        try fixture.stop()
    }

    @Test(.enabled(if: allocation_counter_works(), "the sanitizer needs malloc for itself"))
    func `a worker allocates nothing while it pauses a port`() throws {
        let fixture = try DataPlaneFixture(ports: 2)
        try fixture.attach(0, sendBuffer: 64 * 1024, pauses: true)
        try fixture.attach(1, sendBuffer: 16 * 1024, queueDelay: 1_000_000_000_000)
        try fixture.wait("activation") {
            fixture.events.filter { $0.kind == .activated }.count == 2
        }
        // Only unicast frames pause.
        #expect(fixture.send(DataPlaneFixture.frame(from: 1, to: nil), from: 1))
        #expect(fixture.receive(0) != nil)
        let worker = try thread(named: "worker-0")
        let frame = DataPlaneFixture.frame(from: 0, to: 1, length: 1000)
        var before: Int64 = 0
        for number in 0..<22_000 {
            // The first frames bring the runtime's own caches.
            if number == 2000 { before = allocation_counter_count(worker) }
            while fixture.send(frame, from: 0) {}
            try #require(fixture.receive(1) != nil)
        }
        #expect(allocation_counter_count(worker) - before == 0)
        #expect(fixture.plane.counters.snapshot()[.pauses] > 10)
        #expect(fixture.plane.counters.snapshot().dropped == 0)
        try fixture.stop()
    }

    @Test func `under load a frame costs a fifth of a system call at most`() throws {
        let worker = try OwnWorker(ports: 2) { wake throws(RingError) in
            CountingBackend(ring: try RingBackend(fileSlots: 2, wake: wake))
        }
        defer { worker.stop() }
        for port in 0..<2 { try worker.attach(port) }
        let frames = (0..<2).map { DataPlaneFixture.frame(from: $0, to: 1 - $0, length: 1514) }
        var buffer = [UInt8](repeating: 0, count: 2048)
        var taken = 0
        var before = 0
        for round in 0..<(frameCount / (2 * burst)) {
            // The first round floods and learns.
            if round == 1 { (before, taken) = (worker.look { $0.enters + $0.batches }, 0) }
            for port in 0..<2 {
                for _ in 0..<burst {
                    try #require(
                        send(worker.ends[port], frames[port], 1514, Int32(MSG_DONTWAIT)) == 1514)
                }
            }
            let target = taken + 2 * burst
            for _ in 0..<100 where taken < target {
                worker.turn()
                for end in worker.ends {
                    while recv(end, &buffer, 2048, Int32(MSG_DONTWAIT)) == 1514 { taken += 1 }
                }
            }
            try #require(taken == target, "frames were lost")
        }
        let calls = worker.look { $0.enters + $0.batches } - before
        let perFrame = Double(calls) / Double(taken)
        #expect(perFrame <= entersPerFrame, "\(perFrame) system calls for each frame")
    }
}
