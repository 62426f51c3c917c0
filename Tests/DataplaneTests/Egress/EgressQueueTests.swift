// The egress queue against a naive model: an array of frames, and the rules of room written down
// once more in the plainest way.

import CShimsSystem
import Support
import SwitchCore
import Testing

@testable import Dataplane

/// What `EgressQueue` promises, in an array.
private struct NaiveQueue {
    struct Waiting {
        var bytes: [UInt8]
        var time: UInt64
    }

    var waiting: [Waiting] = []
    var byteCount: Int { waiting.reduce(0) { $0 + $1.bytes.count } }

    /// Bytes of the ring that the frames need at least, without gaps.
    var neededBytes: Int { waiting.reduce(0) { $0 + Self.size($1.bytes.count) } }

    static func size(_ length: Int) -> Int { 16 + (length + 15) / 16 * 16 }
}

@Suite struct EgressQueueTests {
    private func contents(_ queue: borrowing EgressQueue, limit: Int = 1000) -> [[UInt8]] {
        let frames = UnsafeMutableBufferPointer<cshims_gather>.allocate(capacity: limit)
        defer { frames.deallocate() }
        let count = queue.gather(into: frames)
        return (0..<count).map { frames[$0].bytes }
    }

    private func append(
        _ bytes: [UInt8], to queue: inout EgressQueue, now: UInt64 = 0, limit: Int = .max
    ) -> Bool {
        bytes.withUnsafeBytes { memory in
            guard let start = memory.baseAddress else { return false }
            // In two pieces, as a segment comes.
            let split = bytes.count / 3
            let frame = cshims_gather(
                head: cshims_slice(address: start, length: UInt64(split)),
                body: cshims_slice(address: start + split, length: UInt64(bytes.count - split)))
            return queue.append(frame, now: now, limit: limit)
        }
    }

    private func bytes(_ length: Int, _ fill: Int) -> [UInt8] {
        Array(repeating: UInt8(truncatingIfNeeded: fill), count: length)
    }

    @Test func `a queue whose tail stands at its very end goes on at its beginning`() {
        var queue = EgressQueue(capacity: 128)
        #expect(append(bytes(16, 1), to: &queue))
        #expect(append(bytes(80, 2), to: &queue))
        queue.removeFirst(1)
        let isAppended = append(bytes(16, 3), to: &queue)
        #expect(isAppended)
        #expect(contents(queue) == [bytes(80, 2), bytes(16, 3)])
        queue.removeFirst(2)
        let isEmpty = queue.isEmpty
        #expect(isEmpty)
    }

    @Test func `an entry that does not fit before the end leaves a gap`() {
        var queue = EgressQueue(capacity: 128)
        #expect(append(bytes(48, 1), to: &queue))
        #expect(append(bytes(16, 2), to: &queue))
        queue.removeFirst(1)
        // 32 bytes are left at the end, 64 at the beginning.
        #expect(append(bytes(30, 3), to: &queue))
        let used = queue.usedBytes
        #expect(used == 32 + 32 + 48)
        #expect(contents(queue) == [bytes(16, 2), bytes(30, 3)])
        #expect(!append(bytes(1, 4), to: &queue), "the gap is no room")
    }

    @Test func `a frame of all the room fits, and one byte more never does`() {
        var queue = EgressQueue(capacity: 128)
        #expect(!append(bytes(113, 1), to: &queue))
        #expect(append(bytes(112, 1), to: &queue))
        #expect(!append(bytes(1, 2), to: &queue))
        queue.removeFirst(1)
        #expect(append(bytes(112, 3), to: &queue))
        #expect(contents(queue) == [bytes(112, 3)])
    }

    @Test func `the limit bounds what a flooded copy may use`() {
        var queue = EgressQueue(capacity: 256)
        #expect(append(bytes(48, 1), to: &queue, limit: 128))
        #expect(append(bytes(48, 2), to: &queue, limit: 128))
        #expect(!append(bytes(1, 3), to: &queue, limit: 128))
        #expect(append(bytes(1, 4), to: &queue, limit: 256))
    }

    @Test func `frames expire from the head and those of the deadline itself stay`() {
        var queue = EgressQueue(capacity: 1024)
        for time in 1...5 { #expect(append(bytes(20, time), to: &queue, now: UInt64(time))) }
        let expired = queue.expire(before: 3)
        #expect(expired == 2)
        #expect(contents(queue).first == bytes(20, 3))
        let rest = queue.expire(before: 100)
        #expect(rest == 3)
        let used = queue.usedBytes
        #expect(used == 0)
    }

    @Test func `gathering takes no more than asked for and removes nothing`() {
        var queue = EgressQueue(capacity: 1024)
        for number in 0..<5 { #expect(append(bytes(20, number), to: &queue)) }
        #expect(contents(queue, limit: 2) == [bytes(20, 0), bytes(20, 1)])
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
                let length = Int.random(in: 1...(capacity - 16), using: &generator) / (step % 3 + 1)
                let frame = bytes(max(1, length), step)
                let limit = Bool.random(using: &generator) ? capacity : capacity / 2
                let before = queue.usedBytes
                if append(frame, to: &queue, now: now, limit: limit) {
                    model.waiting.append(NaiveQueue.Waiting(bytes: frame, time: now))
                    #expect(queue.usedBytes <= limit, comment)
                } else {
                    #expect(queue.usedBytes == before, comment)
                    // An empty queue refuses nothing that fits.
                    #expect(
                        !model.waiting.isEmpty || NaiveQueue.size(frame.count) > limit, comment)
                }
            case 5:
                let count = Int.random(in: 0...queue.frameCount, using: &generator)
                let removed = queue.removeFirst(count)
                #expect(
                    removed == model.waiting[..<count].reduce(0) { $0 + $1.bytes.count }, comment)
                model.waiting.removeFirst(count)
            case 6: now += UInt64.random(in: 0...3, using: &generator)
            default:
                let deadline = now - min(now, UInt64.random(in: 0...6, using: &generator))
                let old = model.waiting.prefix { $0.time < deadline }.count
                let expired = queue.expire(before: deadline)
                #expect(expired == old, comment)
                model.waiting.removeFirst(old)
            }
            check(queue, model, comment)
        }
    }

    private func check(
        _ queue: borrowing EgressQueue, _ model: NaiveQueue, _ comment: Comment
    ) {
        #expect(contents(queue) == model.waiting.map(\.bytes), comment)
        #expect(queue.frameCount == model.waiting.count, comment)
        #expect(queue.byteCount == model.byteCount, comment)
        #expect(queue.usedBytes >= model.neededBytes, comment)
        #expect(queue.usedBytes <= queue.capacity, comment)
        if model.waiting.isEmpty { #expect(queue.usedBytes == 0, comment) }
    }
}
