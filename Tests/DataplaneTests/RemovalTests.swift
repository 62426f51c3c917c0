// Removal of ports under fire: threads send to and through a port while it comes and goes. Run
// under AddressSanitizer, where more removals are made.

import AllocationCounter
import CShimsSystem
import Dispatch
import Glibc
import IORing
import Support
import SwitchCore
import Synchronization
import Testing

@testable import Dataplane

/// Threads that send over a data plane's stable ports, and read what comes there, until stopped.
private final class Load: Sendable {
    private let isOver = Atomic(false)
    private let group = DispatchGroup()

    /// - Parameter ends: peers' ends of ports 0, 1 ...; each sends to `target` and to all in turns.
    init(ends: [Int32], target: Int) {
        for (port, end) in ends.enumerated() {
            let frames = [
                DataPlaneFixture.frame(from: port, to: target, length: 1514),
                DataPlaneFixture.frame(from: port, to: nil, length: 60),
            ]
            DispatchQueue(label: "load \(port)").async(group: group) { [self] in
                var buffer = [UInt8](repeating: 0, count: 2048)
                var number = 0
                while !isOver.load(ordering: .relaxed) {
                    let frame = frames[number % 8 == 0 ? 1 : 0]
                    if Glibc.send(end, frame, frame.count, Int32(MSG_DONTWAIT)) < 0 {
                        yieldProcessor()
                    }
                    while recv(end, &buffer, buffer.count, Int32(MSG_DONTWAIT)) > 0 {}
                    number += 1
                }
            }
        }
    }

    func stop() {
        isOver.store(true, ordering: .relaxed)
        group.wait()
    }
}

/// RINGSWITCH_REMOVALS, or what a run of all tests can afford. Sanitizers take malloc for
/// themselves, so that the counter says whether there is one.
private let removalCount =
    getenv("RINGSWITCH_REMOVALS").flatMap { Int(String(cString: $0)) }
    ?? (allocation_counter_works() ? 1000 : 2000)

/// Attaches and detaches a port `count` times while two others send to it.
private func comeAndGo(_ count: Int, workers: Int) throws {
    let fixture = try DataPlaneFixture(ports: 4, workers: workers)
    for port in 0..<2 { try fixture.attach(port) }
    let load = Load(ends: Array(fixture.ends[0..<2]), target: 2)
    defer { load.stop() }
    for round in 0..<count {
        try fixture.attach(2, sendBuffer: round % 2 == 0 ? 16 * 1024 : 1 << 20)
        let frame = DataPlaneFixture.frame(from: 2, to: round % 2, length: 1514)
        for _ in 0..<(round % 40) { _ = fixture.send(frame, from: 2) }
        if round % 5 == 0 { fixture.hangUp(2) }
        try fixture.detach(2)
    }
    load.stop()
    try fixture.expectBalance()
    try fixture.stop()
}

@Suite(.serialized, .enabled(if: hasRing, "needs io_uring"), .timeLimit(.minutes(10)))
struct RemovalTests {
    @Test(arguments: [1, 2]) func `ports come and go under load and the books stay exact`(
        workers: Int
    ) throws {
        try comeAndGo(removalCount / 2, workers: workers)
    }

    @Test func `ports that came and went leave no descriptor open`() async {
        // In a process of its own: other tests open descriptors at the same time.
        await #expect(processExitsWith: .success) {
            try comeAndGo(10, workers: 1)
            let before = openDescriptorCount()
            try comeAndGo(removalCount / 10, workers: 1)
            exit(openDescriptorCount() == before ? EXIT_SUCCESS : EXIT_FAILURE)
        }
    }

    @Test func `nobody writes into the pool of a retired connection`() throws {
        let worker = try OwnWorker(ports: 4) { wake throws(RingError) in
            try RingBackend(fileSlots: 4, wake: wake)
        }
        defer { worker.stop() }
        try worker.attach(0)
        try worker.attach(1)
        let load = Load(ends: [worker.ends[0], worker.ends[1]], target: 2)
        defer { load.stop() }
        let frame = DataPlaneFixture.frame(from: 2, to: nil, length: 1514)
        for round in 0..<(removalCount / 10) {
            try worker.attach(2)
            for _ in 0..<40 {
                _ = Glibc.send(worker.ends[2], frame, frame.count, Int32(MSG_DONTWAIT))
            }
            // With receives armed and not yet reaped, and with none armed at all.
            for _ in 0..<(round % 3) { worker.turn() }
            let damaged = worker.detachAndPoison(2)
            #expect(damaged == 0, "round \(round)")
        }
        load.stop()
        #expect(worker.releaseAll() == 0)
    }
}
