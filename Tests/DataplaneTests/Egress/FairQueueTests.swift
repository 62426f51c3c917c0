// The egress queue that serves flows in turns.

import CShimsSystem
import Support
import Testing

@testable import Dataplane

@Suite struct FairQueueTests {
    private func makeQueue(capacity: Int = 1 << 20, seed: UInt64 = 1) -> EgressQueue {
        EgressQueue(capacity: capacity, discipline: .fair(target: 1_000_000), seed: seed)
    }

    private func fill(
        _ queue: inout EgressQueue, flow: Int, count: Int, from ingress: Int = 0,
        length: Int = 1000, now: UInt64 = 0
    ) {
        for serial in 0..<count {
            let frame = QueueFixture.datagram(flow: flow, serial: serial, length: length)
            #expect(QueueFixture.append(frame, to: &queue, from: ingress, now: now))
        }
    }

    private func bytesByFlow(_ frames: [[UInt8]]) -> [Int: Int] {
        frames.reduce(into: [:]) { $0[QueueFixture.flow($1), default: 0] += $1.count }
    }

    @Test func `two flows that wait get the same`() {
        var queue = makeQueue()
        fill(&queue, flow: 1, count: 100)
        fill(&queue, flow: 2, count: 100)
        let taken = bytesByFlow(QueueFixture.take(100, of: &queue))
        #expect(abs(taken[1, default: 0] - taken[2, default: 0]) <= 2 * 1514)
    }

    @Test func `a flow of short frames gets as many bytes as one of long frames`() {
        var queue = makeQueue()
        fill(&queue, flow: 1, count: 1000, length: 100)
        fill(&queue, flow: 2, count: 100, length: 1500)
        let taken = bytesByFlow(QueueFixture.take(600, of: &queue))
        #expect(abs(taken[1, default: 0] - taken[2, default: 0]) <= 2 * 1514)
    }

    @Test func `a port with many flows gets no more than one with a single flow`() {
        var queue = makeQueue()
        for flow in 10..<20 { fill(&queue, flow: flow, count: 60, from: 1) }
        fill(&queue, flow: 1, count: 300, from: 2)
        let taken = bytesByFlow(QueueFixture.take(500, of: &queue))
        let one = taken[1, default: 0]
        let many = taken.filter { $0.key >= 10 }.values.reduce(0, +)
        #expect(abs(one - many) <= 12 * 1514, "\(one) and \(many)")
        // The flows of that port are equal among themselves.
        let shares = (10..<20).map { taken[$0, default: 0] }
        #expect((shares.max() ?? 0) - (shares.min() ?? 0) <= 2 * 1514, "\(shares)")
    }

    @Test func `a flow that begins goes before one that waits, once`() {
        var queue = makeQueue()
        fill(&queue, flow: 1, count: 50)
        #expect(QueueFixture.take(10, of: &queue).count == 10)
        fill(&queue, flow: 2, count: 1, length: 100)
        #expect(QueueFixture.take(1, of: &queue).map(QueueFixture.flow) == [2])
        // It has emptied: when it comes again it waits for its turn like the other.
        #expect(QueueFixture.take(1, of: &queue).map(QueueFixture.flow) == [1])
        fill(&queue, flow: 3, count: 20)
        fill(&queue, flow: 4, count: 1, length: 100)
        let next = QueueFixture.take(6, of: &queue).map(QueueFixture.flow)
        #expect(next.contains(4), "\(next)")
    }

    @Test func `the longest flow loses its oldest frames when there is no room`() {
        var queue = makeQueue(capacity: 64 * 1024)
        for (flow, count) in [(1, 3), (2, 28), (3, 16), (4, 16)] {
            fill(&queue, flow: flow, count: count)
        }
        #expect(queue.takeSignals() == QueueSignals())
        fill(&queue, flow: 5, count: 1)
        #expect(queue.usedBytes <= 64 * 1024)
        #expect(queue.takeSignals().full == 14)
        let left = QueueFixture.take(300, of: &queue)
        #expect(left.filter { QueueFixture.flow($0) == 1 }.map(QueueFixture.serial) == [0, 1, 2])
        let serials = left.filter { QueueFixture.flow($0) == 2 }.map(QueueFixture.serial)
        #expect(serials == Array(14..<28))
        #expect(left.count == 50)
    }

    @Test func `an old frame that nobody takes costs later ones at last, until it expires`() {
        var queue = makeQueue(capacity: 16 * 1024)
        fill(&queue, flow: 1, count: 1)
        var accepted = 0
        for serial in 0..<100 {
            let frame = QueueFixture.datagram(flow: 2 + serial % 3, serial: serial)
            if QueueFixture.append(frame, to: &queue, now: 1) { accepted += 1 }
        }
        #expect(accepted == 30, "twice the capacity, with the first frame")
        #expect(queue.expire(before: 1) == 1)
        fill(&queue, flow: 2, count: 1)
    }

    @Test func `a frame finds room where all that waits has been chosen`() {
        var queue = makeQueue(capacity: 4096)
        fill(&queue, flow: 1, count: 3)
        #expect(QueueFixture.choose(of: &queue).count == 3)
        fill(&queue, flow: 2, count: 1, length: 1400)
        let signals = queue.takeSignals()
        #expect(signals.full == 1)
        let left = QueueFixture.choose(of: &queue)
        #expect(left.map(QueueFixture.serial) == [1, 2, 0])
    }

    @Test(arguments: [UInt8(0), 1, 2])
    func `a flow that stands above the target is slowed down`(ecn: UInt8) {
        var queue = makeQueue()
        var serial = 0
        var marked = 0
        // Each millisecond 10 frames come and 10 leave, and 30 wait: 3 ms of delay.
        for _ in 0..<30 {
            let frame = QueueFixture.datagram(flow: 1, serial: serial, ecn: ecn)
            #expect(QueueFixture.append(frame, to: &queue))
            serial += 1
        }
        for millisecond: UInt64 in 1...200 {
            for _ in 0..<10 {
                let frame = QueueFixture.datagram(flow: 1, serial: serial, ecn: ecn)
                #expect(QueueFixture.append(frame, to: &queue, now: millisecond * 1_000_000))
                serial += 1
            }
            let taken = QueueFixture.take(10, of: &queue, now: millisecond * 1_000_000)
            marked += taken.filter { $0[15] & 3 == 3 }.count
            // A lone frame of another flow is never dropped for it.
            let other = QueueFixture.datagram(flow: 2, serial: Int(millisecond))
            #expect(QueueFixture.append(other, to: &queue, now: millisecond * 1_000_000))
            #expect(QueueFixture.take(1, of: &queue, now: millisecond * 1_000_000) == [other])
            if millisecond == 20 { #expect(queue.takeSignals() == QueueSignals()) }
        }
        let signals = queue.takeSignals()
        #expect(signals.full == 0)
        if ecn == 0 {
            #expect(signals.dropped >= 5 && signals.marked == 0)
        } else {
            #expect(signals.marked >= 10 && signals.dropped == 0 && marked == signals.marked)
        }
    }

    @Test func `a flow that has half of all that waits is refused, others find room`() {
        var queue = makeQueue(capacity: 32 * 1024)
        fill(&queue, flow: 1, count: 31, now: 0)
        let next = QueueFixture.datagram(flow: 1, serial: 31)
        #expect(!QueueFixture.append(next, to: &queue))
        #expect(queue.takeSignals() == QueueSignals())
        for serial in 0..<10 {
            let other = QueueFixture.datagram(flow: 2, serial: serial)
            #expect(QueueFixture.append(other, to: &queue))
        }
        // Flow 1 paid, with half of what it had and then with half of the rest.
        let lost = queue.takeSignals().full
        #expect(lost == 41 - queue.frameCount)
        let left = QueueFixture.take(100, of: &queue).map(QueueFixture.flow)
        #expect(left.filter { $0 == 2 }.count == 10)
    }

    @Test func `no more is chosen than the socket has room for, but one frame always`() {
        var queue = makeQueue()
        fill(&queue, flow: 1, count: 10, now: 0)
        let frames = UnsafeMutableBufferPointer<cshims_gather>.allocate(capacity: 64)
        defer { frames.deallocate() }
        let charge = Connection.charge(ofFrame: 1000)
        let steps = [
            (64, -5, 1), (64, charge, 1), (64, 4 * charge, 4), (2, .max, 4), (64, .max, 10),
        ]
        for (count, room, expected) in steps {
            let chosen = queue.choose(count, room: room, into: frames, now: 0)
            #expect(chosen == expected, "\(count) frames, \(room) bytes")
        }
    }

    @Test func `a frame that waited for five targets is marked at once, or passes unmarked`() {
        for ecn: UInt8 in [0, 2] {
            var queue = makeQueue()
            for serial in 0..<3 {
                let frame = QueueFixture.datagram(flow: 1, serial: serial, ecn: ecn)
                #expect(QueueFixture.append(frame, to: &queue))
            }
            let fields = [4_999_999, 5_000_000, 6_000_000].flatMap {
                QueueFixture.take(1, of: &queue, now: $0).map { $0[15] & 3 }
            }
            #expect(fields == (ecn == 0 ? [0, 0, 0] : [2, 3, 3]))
            #expect(queue.takeSignals() == QueueSignals(marked: ecn == 0 ? 0 : 2))
        }
    }

    @Test(arguments: Seeds.list(2))
    func `a thousand flows that meet in few places keep their order`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var queue = makeQueue(seed: seed)
        var next = Array(repeating: 0, count: 1000)
        var last = Array(repeating: -1, count: 1000)
        for _ in 0..<5_000 {
            // More comes than goes until the queue holds hundreds, then less.
            let isFilling = Int.random(in: 0..<800, using: &generator) > queue.frameCount
            if isFilling || queue.isEmpty {
                let flow = Int.random(in: 0..<1000, using: &generator)
                let frame = QueueFixture.datagram(flow: flow, serial: next[flow], length: 60)
                next[flow] += 1
                #expect(QueueFixture.append(frame, to: &queue))
            } else {
                for frame in QueueFixture.take(2, of: &queue) {
                    let flow = QueueFixture.flow(frame)
                    #expect(QueueFixture.serial(frame) > last[flow], "seed \(seed), flow \(flow)")
                    last[flow] = QueueFixture.serial(frame)
                }
            }
        }
    }

    @Test func `a burst that empties within an interval is left alone`() {
        var queue = makeQueue()
        for burst: UInt64 in 0..<20 {
            let start = burst * 30_000_000
            fill(&queue, flow: 1, count: 150, now: start)
            // It is gone after 15 ms, the last of it after 15 ms of waiting.
            for step: UInt64 in 1...15 {
                let taken = QueueFixture.take(10, of: &queue, now: start + step * 1_000_000)
                #expect(taken.count == 10)
            }
        }
        #expect(queue.takeSignals() == QueueSignals())
    }

    @Test(arguments: Seeds.list(30))
    func `random traffic keeps the order of each flow, and every frame has one end`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let comment: Comment = "seed \(seed)"
        var queue = makeQueue(capacity: 32 * 1024, seed: seed)
        var next = Array(repeating: 0, count: 40)
        var last = Array(repeating: -1, count: 40)
        var (appended, sent, expired, refused, lost) = (0, 0, 0, 0, 0)
        var now: UInt64 = 0
        for _ in 0..<3000 {
            now += UInt64.random(in: 0...200_000, using: &generator)
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<6:
                let flow = Int.random(in: 0..<40, using: &generator)
                let length = Int.random(in: 60...1500, using: &generator)
                let frame = QueueFixture.datagram(
                    flow: flow, serial: next[flow], length: length,
                    ecn: UInt8.random(in: 0...2, using: &generator))
                next[flow] += 1
                let limit = Bool.random(using: &generator) ? 16 * 1024 : Int.max
                let isRoom = QueueFixture.append(
                    frame, to: &queue, from: flow % 3, now: now, limit: limit)
                if isRoom { appended += 1 } else { refused += 1 }
            case 6..<9:
                let wanted = Int.random(in: 1...8, using: &generator)
                let chosen = QueueFixture.choose(wanted, of: &queue, now: now)
                let accepted = Int.random(in: 0...chosen.count, using: &generator)
                for frame in chosen[..<accepted] {
                    let flow = QueueFixture.flow(frame)
                    #expect(QueueFixture.serial(frame) > last[flow], comment)
                    last[flow] = QueueFixture.serial(frame)
                }
                queue.removeFirst(accepted)
                sent += accepted
            default: expired += queue.expire(before: now - min(now, 3_000_000))
            }
            let signals = queue.takeSignals()
            lost += signals.full + signals.dropped
            #expect(appended == sent + expired + lost + queue.frameCount, comment)
            #expect(queue.usedBytes <= queue.capacity, comment)
        }
        expired += queue.removeAll()
        #expect(queue.isEmpty && queue.usedBytes == 0 && queue.byteCount == 0, comment)
        #expect(sent > 100 && expired > 0, comment)
    }
}
