// Events from a worker to Control.

import Glibc
import IORing
import Support
import SwitchCore
import Synchronization
import Testing

@testable import Dataplane

@Suite struct EventQueueTests {
    private func event(_ number: UInt32) -> DataPlaneEvent {
        DataPlaneEvent(kind: .activated, port: PortID(index: 3), generation: number, errno: 0)
    }

    private func numbers(_ queue: EventQueue) -> [UInt32] {
        var result: [UInt32] = []
        queue.drain { result.append($0.generation) }
        return result
    }

    @Test func `events come out once, in their order, around the end of the ring`() throws {
        let queue = EventQueue(capacity: 3, wake: try Wake())
        var posted: UInt32 = 0
        for _ in 0..<10 {
            queue.post(event(posted))
            queue.post(event(posted + 1))
            #expect(numbers(queue) == [posted, posted + 1])
            #expect(numbers(queue) == [])
            posted += 2
        }
        for number: UInt32 in 1...3 { queue.post(event(number)) }
        #expect(numbers(queue) == [1, 2, 3])
    }

    @Test func `an event makes the descriptor readable`() throws {
        let wake = try Wake()
        let queue = EventQueue(capacity: 4, wake: wake)
        var poll = pollfd(fd: wake.descriptor, events: Int16(POLLIN), revents: 0)
        #expect(Glibc.poll(&poll, 1, 0) == 0)
        queue.post(event(1))
        #expect(Glibc.poll(&poll, 1, 0) == 1)
    }

    @Test func `an event may post the next while it is drained`() throws {
        let queue = EventQueue(capacity: 2, wake: try Wake())
        queue.post(event(1))
        queue.drain { _ in queue.post(event(2)) }
        #expect(numbers(queue) == [2])
    }

    @Test func `two threads pass every event on in order`() throws {
        let queue = EventQueue(capacity: 1000, wake: try Wake())
        let taken = Atomic<UInt32>(0)
        let wrong = Atomic(0)
        let count: UInt32 = 5000
        runOnThreads(2) { index in
            if index == 0 {
                for number in 0..<count {
                    // The bound is the caller's to keep, as with one connection a port.
                    while number - taken.load(ordering: .acquiring) >= 1000 { yieldProcessor() }
                    queue.post(event(number))
                }
            } else {
                var next: UInt32 = 0
                while next < count {
                    queue.drain {
                        if $0.generation != next { wrong.wrappingAdd(1, ordering: .relaxed) }
                        next += 1
                    }
                    taken.store(next, ordering: .releasing)
                    yieldProcessor()
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
    }
}
