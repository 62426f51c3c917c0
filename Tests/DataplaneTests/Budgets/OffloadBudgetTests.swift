// What large frames and unfinished checksums may cost: no allocation, and few system calls.

import AllocationCounter
import CShimsSystem
import Glibc
import IORing
import Support
import SwitchCore
import Testing

@testable import Dataplane

@Suite(.serialized, .enabled(if: hasRing, "needs io_uring"), .timeLimit(.minutes(10)))
struct OffloadBudgetTests {
    /// Large frames of a measurement.
    private let frameCount = 2000
    /// Those of them that wait in a socket when the worker wakes.
    private let burst = 4
    /// Segments of a large frame, and bytes of each.
    private let segmentCount = 44, segmentLength = 1514
    /// io_uring_enter calls for each segment, under load.
    private let entersPerSegment = 0.02

    /// A TCP frame from the station of port 0 to that of port 1 whose checksum is left to others.
    private func frame(payload count: Int) -> [UInt8] {
        var packet = PacketBuilder()
        packet.source = DataPlaneFixture.station(0)
        packet.destination = DataPlaneFixture.station(1)
        packet.checksum = .partial
        packet.payload = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        return packet.bytes
    }

    @Test(.enabled(if: allocation_counter_works(), "the sanitizer needs malloc for itself"))
    func `a worker allocates nothing while it cuts frames and completes checksums`() throws {
        let fixture = try DataPlaneFixture(ports: 3)
        try fixture.attach(0, offload: .raw, frameLengthMax: 65_550)
        try fixture.attach(1)
        try fixture.attach(2, offload: .raw, frameLengthMax: 65_550)
        try fixture.wait("activation") {
            fixture.events.filter { $0.kind == .activated }.count == 3
        }
        let worker = try thread(named: "worker-0")
        let large = frame(payload: segmentCount * 1460)
        let small = frame(payload: 100)
        var before: Int64 = 0
        // Nobody has heard of port 1, so that every frame is a flood, cut for one of the others.
        for number in 0..<frameCount {
            // The first frames bring the runtime's own caches.
            if number == 100 { before = allocation_counter_count(worker) }
            #expect(fixture.send(large, from: 0) && fixture.send(small, from: 0))
            for length in Array(repeating: segmentLength, count: segmentCount) + [small.count] {
                try #require(fixture.receive(1)?.count == length)
            }
            for _ in 0..<2 { try #require(fixture.receive(2) != nil) }
        }
        #expect(before > 0, "the worker's set-up allocates, so that the counter is seen to work")
        #expect(allocation_counter_count(worker) - before == 0)
        let counters = fixture.plane.counters.snapshot(port: PortID(index: 1))
        #expect(counters[.segmentCopies] == UInt64(frameCount * (segmentCount - 1)))
        try fixture.stop()
    }

    @Test func `under load a segment costs a fiftieth of a system call at most`() throws {
        let worker = try OwnWorker(ports: 2) { wake throws(RingError) in
            CountingBackend(ring: try RingBackend(fileSlots: 2, wake: wake))
        }
        defer { worker.stop() }
        try worker.attach(0, offload: .raw, frameLengthMax: 65_550, sendBuffer: 1 << 20)
        try worker.attach(1, sendBuffer: 1 << 20)
        let large = frame(payload: segmentCount * 1460)
        var buffer = [UInt8](repeating: 0, count: 2048)
        var taken = 0
        let before = worker.look { $0.enters + $0.batches }
        for _ in 0..<(frameCount / burst) {
            for _ in 0..<burst {
                try #require(
                    send(worker.ends[0], large, large.count, Int32(MSG_DONTWAIT)) == large.count)
            }
            let target = taken + burst * segmentCount
            for _ in 0..<100 where taken < target {
                worker.turn()
                while recv(worker.ends[1], &buffer, 2048, Int32(MSG_DONTWAIT)) == segmentLength {
                    taken += 1
                }
            }
            try #require(taken == target, "segments were lost")
        }
        let calls = worker.look { $0.enters + $0.batches } - before
        let perSegment = Double(calls) / Double(taken)
        print("\(perSegment) system calls for each segment")
        #expect(perSegment <= entersPerSegment, "\(perSegment) system calls for each segment")
    }
}
