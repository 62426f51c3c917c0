// Frames that wait move to a queue with other settings.

import Testing

@testable import Dataplane

@Suite struct QueueMoveTests {
    private static let disciplines: [QueueDiscipline] = [.fifo, .fair(target: 1_000_000)]

    /// A queue with frames of four flows in turns, two of them from another port.
    private func filled(_ discipline: QueueDiscipline, frames: Int) -> EgressQueue {
        var queue = EgressQueue(capacity: 1 << 16, discipline: discipline, seed: 5)
        for number in 0..<frames {
            let frame = QueueFixture.datagram(flow: number % 4, serial: number / 4, length: 200)
            #expect(QueueFixture.append(frame, to: &queue, from: number % 2, now: UInt64(number)))
        }
        return queue
    }

    @Test(arguments: disciplines, disciplines)
    func `everything moves, and flows stay in order with what comes after`(
        from: QueueDiscipline, to: QueueDiscipline
    ) {
        var old = filled(from, frames: 40)
        // Some are chosen for a batch that the peer has not taken.
        _ = QueueFixture.choose(7, of: &old)
        var new = EgressQueue(capacity: 1 << 17, discipline: to, seed: 6)
        #expect(old.moveAll(to: &new) == 0)
        #expect(old.isEmpty && old.byteCount == 0 && new.frameCount == 40)
        for number in 40..<60 {
            let frame = QueueFixture.datagram(flow: number % 4, serial: number / 4, length: 200)
            #expect(QueueFixture.append(frame, to: &new, from: number % 2, now: UInt64(number)))
        }
        var next = [0, 0, 0, 0]
        for bytes in QueueFixture.take(60, of: &new) {
            let flow = QueueFixture.flow(bytes)
            #expect(QueueFixture.serial(bytes) == next[flow])
            next[flow] += 1
        }
        #expect(next == [15, 15, 15, 15] && new.isEmpty)
        // The old one is as good as new.
        #expect(QueueFixture.append(QueueFixture.datagram(flow: 1), to: &old))
        #expect(QueueFixture.choose(of: &old).count == 1)
    }

    @Test(arguments: disciplines) func `frames keep the time at which they came`(
        discipline: QueueDiscipline
    ) {
        var old = filled(discipline, frames: 40)
        var new = EgressQueue(capacity: 1 << 16, discipline: discipline)
        #expect(old.moveAll(to: &new) == 0)
        #expect(new.expire(before: 30) == 30)
        #expect(new.frameCount == 10)
    }

    @Test func `what finds no room in a smaller queue is counted`() {
        var old = filled(.fifo, frames: 40)
        var new = EgressQueue(capacity: 10 * (32 + 208), discipline: .fifo)
        #expect(old.moveAll(to: &new) == 30)
        #expect(new.frameCount == 10 && old.isEmpty)
    }
}
