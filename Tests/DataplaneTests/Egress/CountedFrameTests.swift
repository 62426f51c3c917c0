// Frames in an egress queue that count for their source.

import Support
import SwitchCore
import Testing

@testable import Dataplane

@Suite struct CountedFrameTests {
    private static let disciplines = [QueueDiscipline.fifo, .fair(target: 1_000_000)]

    @Test(arguments: Seeds.list(10), disciplines)
    func `a frame counts for as long as it waits, however it leaves`(
        seed: UInt64, discipline: QueueDiscipline
    ) {
        let backlog = SourceBacklog(workerCount: 1, portCapacity: 3)
        defer { backlog.deallocate() }
        var generator = SeededGenerator(seed: seed)
        var queue = EgressQueue(capacity: 16 * 1024, discipline: discipline, seed: seed)
        var now: UInt64 = 0
        // By port, the serials of counted frames in the order in which they came; in a fair queue
        // those of one flow leave in this order.
        var waiting: [[Int]] = [[], [], []]
        for serial in 0..<3000 {
            now += UInt64.random(in: 0...100_000, using: &generator)
            let port = Int.random(in: 0..<3, using: &generator)
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<7:
                let isCounted = port > 0
                let isRoom = QueueFixture.append(
                    QueueFixture.datagram(
                        flow: port, serial: serial,
                        length: Int.random(in: 60...1000, using: &generator)), to: &queue,
                    from: port, now: now,
                    counting: isCounted
                        ? backlog.waiting(of: PortID(index: port), at: 0) : nil)
                if isRoom, isCounted { waiting[port].append(serial) }
            case 7, 8:
                let count = Int.random(in: 0...8, using: &generator)
                _ = QueueFixture.take(count, of: &queue, now: now)
            default: _ = queue.expire(before: now - min(now, 3_000_000))
            }
            // What is left of each port is what came last.
            let counts = (0..<3).map { backlog.waiting(of: PortID(index: $0)) }
            for port in 0..<3 {
                #expect(counts[port] <= waiting[port].count, "seed \(seed)")
                waiting[port] = waiting[port].suffix(counts[port])
            }
            #expect(queue.countedFrames == counts.reduce(0, +), "seed \(seed)")
            #expect(queue.countedFrames <= queue.frameCount, "seed \(seed)")
        }
        var left: [[Int]] = [[], [], []]
        for frame in QueueFixture.take(.max, of: &queue) {
            left[QueueFixture.flow(frame)].append(QueueFixture.serial(frame))
        }
        #expect(left[1] == waiting[1] && left[2] == waiting[2], "seed \(seed)")
        #expect((0..<3).allSatisfy { backlog.waiting(of: PortID(index: $0)) == 0 })
        #expect(queue.countedFrames == 0)
    }

    @Test(arguments: [false, true])
    func `a flow whose source is held up is not slowed down besides`(isCounted: Bool) {
        let backlog = SourceBacklog(workerCount: 1, portCapacity: 1)
        defer { backlog.deallocate() }
        let count = backlog.waiting(of: PortID(index: 0), at: 0)
        var queue = EgressQueue(capacity: 1 << 20, discipline: .fair(target: 1_000_000))
        // Both ways to signal: a frame that is to be dropped, and one that is to be marked.
        for ecn in [UInt8(0), 2] {
            for step in 0..<300 {
                let now = UInt64(step) * 1_000_000
                let frame = QueueFixture.datagram(flow: 1, ecn: ecn)
                #expect(
                    QueueFixture.append(
                        frame, to: &queue, now: now, counting: isCounted ? count : nil))
                if step >= 5 { #expect(QueueFixture.take(1, of: &queue, now: now).count == 1) }
            }
            _ = queue.removeAll()
        }
        let signals = queue.takeSignals()
        #expect((signals.dropped > 0) == !isCounted)
        #expect((signals.marked > 0) == !isCounted)
    }

    @Test func `what one worker counts up another may count down`() {
        let backlog = SourceBacklog(workerCount: 3, portCapacity: 20)
        defer { backlog.deallocate() }
        let port = PortID(index: 17)
        for _ in 0..<5 { backlog.waiting(of: port, at: 0).add() }
        for _ in 0..<4 { backlog.waiting(of: port, at: 2).subtract() }
        for _ in 0..<3 { backlog.crossing(of: port, at: 1).add() }
        #expect(backlog.crossing(of: port) == 3)
        #expect(backlog.waiting(of: port) == 1)
        for other in 0..<20 where other != 17 {
            #expect(backlog.waiting(of: PortID(index: other)) == 0)
        }
        #expect(!backlog.isPausing(port))
        backlog.setPausing(port, true)
        #expect(backlog.isPausing(port) && !backlog.isPausing(PortID(index: 16)))
        #expect(backlog.waiting(of: port) == 1)
    }
}
