// The egress queue in the order of arrival, against a naive model: an array of frames, and the
// rules of room written down once more in the plainest way.

import Support
import Testing

@testable import Dataplane

/// What a `fifo` promises, in an array.
private struct NaiveQueue {
    struct Waiting {
        var bytes: [UInt8]
        var time: UInt64
    }

    var waiting: [Waiting] = []
    var byteCount: Int { waiting.reduce(0) { $0 + $1.bytes.count } }
    var usedBytes: Int { waiting.reduce(0) { $0 + Self.size($1.bytes.count) } }

    static func size(_ length: Int) -> Int { 32 + (length + 15) / 16 * 16 }
}

@Suite struct EgressQueueTests {
    private func bytes(_ length: Int, _ fill: Int) -> [UInt8] {
        Array(repeating: UInt8(truncatingIfNeeded: fill), count: length)
    }

    @Test func `a frame of all the room fits, and one byte more never does`() {
        var queue = EgressQueue(capacity: 128)
        #expect(!QueueFixture.append(bytes(97, 1), to: &queue))
        #expect(QueueFixture.append(bytes(96, 1), to: &queue))
        #expect(!QueueFixture.append(bytes(1, 2), to: &queue))
        #expect(QueueFixture.choose(of: &queue) == [bytes(96, 1)])
        queue.removeFirst(1)
        #expect(QueueFixture.append(bytes(96, 3), to: &queue))
        #expect(QueueFixture.choose(of: &queue) == [bytes(96, 3)])
    }

    @Test(arguments: [QueueDiscipline.fifo, .fair(target: 1_000_000)])
    func `the limit bounds what a flooded copy may use`(discipline: QueueDiscipline) {
        var queue = EgressQueue(capacity: 256, discipline: discipline)
        #expect(QueueFixture.append(bytes(32, 1), to: &queue, limit: 128))
        #expect(QueueFixture.append(bytes(32, 2), to: &queue, limit: 128))
        #expect(!QueueFixture.append(bytes(1, 3), to: &queue, limit: 128))
        #expect(QueueFixture.append(bytes(1, 4), to: &queue, limit: 256))
        let signals = queue.takeSignals()
        #expect(signals == QueueSignals())
    }

    @Test(arguments: [QueueDiscipline.fifo, .fair(target: 1_000_000)])
    func `the oldest frames expire, also chosen ones, and those of the deadline itself stay`(
        discipline: QueueDiscipline
    ) {
        var queue = EgressQueue(capacity: 1024, discipline: discipline)
        for time in 1...5 {
            #expect(QueueFixture.append(bytes(20, time), to: &queue, now: UInt64(time)))
        }
        #expect(QueueFixture.choose(3, of: &queue).count == 3)
        let expired = queue.expire(before: 3)
        #expect(expired == 2)
        #expect(QueueFixture.choose(1, of: &queue) == [bytes(20, 3)])
        let rest = queue.expire(before: 100)
        #expect(rest == 3)
        let used = queue.usedBytes
        #expect(used == 0)
        #expect(QueueFixture.choose(of: &queue) == [])
    }

    @Test func `choosing takes no more than asked for and removes nothing`() {
        var queue = EgressQueue(capacity: 1024)
        for number in 0..<5 { #expect(QueueFixture.append(bytes(20, number), to: &queue)) }
        #expect(QueueFixture.choose(2, of: &queue) == [bytes(20, 0), bytes(20, 1)])
        // What was chosen stays chosen, also when fewer are asked for.
        #expect(QueueFixture.choose(1, of: &queue) == [bytes(20, 0), bytes(20, 1)])
        let count = queue.frameCount
        #expect(count == 5)
    }

    @Test(arguments: [64, 80, 96, 112, 128, 144, 160, 256, 1008], Seeds.list(6))
    func `every small queue does what an array does`(capacity: Int, seed: UInt64) {
        var generator = SeededGenerator(seed: seed &* 1000 &+ UInt64(capacity))
        let comment: Comment = "seed \(seed), capacity \(capacity)"
        var queue = EgressQueue(capacity: capacity)
        var model = NaiveQueue()
        var now: UInt64 = 0
        for step in 0..<600 {
            switch Int.random(in: 0..<8, using: &generator) {
            case 0..<5:
                let length = Int.random(in: 1...(capacity - 32), using: &generator) / (step % 3 + 1)
                let frame = bytes(max(1, length), step)
                let limit = Bool.random(using: &generator) ? capacity : capacity / 2
                let isRoom = model.usedBytes + NaiveQueue.size(frame.count) <= limit
                #expect(
                    QueueFixture.append(frame, to: &queue, now: now, limit: limit) == isRoom,
                    comment)
                if isRoom { model.waiting.append(NaiveQueue.Waiting(bytes: frame, time: now)) }
            case 5:
                let count = QueueFixture.choose(of: &queue).count
                let removed = Int.random(in: 0...count, using: &generator)
                queue.removeFirst(removed)
                model.waiting.removeFirst(removed)
            case 6: now += UInt64.random(in: 0...3, using: &generator)
            default:
                let deadline = now - min(now, UInt64.random(in: 0...6, using: &generator))
                let old = model.waiting.prefix { $0.time < deadline }.count
                let expired = queue.expire(before: deadline)
                #expect(expired == old, comment)
                model.waiting.removeFirst(old)
            }
            #expect(QueueFixture.choose(of: &queue) == model.waiting.map(\.bytes), comment)
            #expect(queue.frameCount == model.waiting.count, comment)
            #expect(queue.byteCount == model.byteCount, comment)
            #expect(queue.usedBytes == model.usedBytes, comment)
        }
    }
}
