// What the kernel promises about multishot receives, and what it does not.

import Glibc
import IORing
import Testing

@Suite struct ReceiveTests {
    @Test func `one request receives many frames, each in a buffer of its own`() throws {
        let at = try Receiver(buffers: 32)
        at.pool.poison()
        #expect(at.ring.armReceive(0, tag: tag(1, slot: 77)))
        #expect(at.ring.turn().isEmpty)
        for index in 0..<20 { at.pair.farSends(numberedFrame(index, length: 60 + index)) }
        let completions = try at.ring.turns(until: 20)
        #expect(completions.allSatisfy { $0.hasMore && $0.tag == tag(1, slot: 77) })
        #expect(Set(completions.compactMap(\.bufferID)).count == 20)
        for (index, completion) in completions.enumerated() {
            let headroom = try at.pool.bytes(
                of: completion, at: -BufferRing.headroom, count: BufferRing.headroom)
            #expect(headroom.allSatisfy { $0 == 0xDB })
            #expect(try at.pool.take(completion) == numberedFrame(index, length: 60 + index))
        }
    }

    @Test func `an empty datagram ends the request, and arming again receives the rest`() throws {
        let at = try Receiver(buffers: 8)
        #expect(at.ring.armReceive(0, tag: tag(1)))
        #expect(at.ring.turn().isEmpty)
        at.pair.farSends([])
        at.pair.farSends(numberedFrame(5))
        let end = try at.ring.turns(until: 1)
        #expect(end.map(\.result) == [0])
        #expect(end.map(\.hasMore) == [false])
        #expect(end.map(\.bufferID) == [nil])
        #expect(at.ring.turn().isEmpty, "the next frame waits in the socket")
        #expect(at.ring.armReceive(0, tag: tag(1)))
        let next = try at.ring.turns(until: 1)
        #expect(next.map(\.hasMore) == [true])
        #expect(try at.pool.take(next[0]) == numberedFrame(5))
    }

    @Test func `running out of buffers ends the request and loses nothing`() throws {
        let at = try Receiver(buffers: 4)
        #expect(at.ring.armReceive(0, tag: tag(1)))
        #expect(at.ring.turn().isEmpty)
        for index in 0..<20 { at.pair.farSends(numberedFrame(index)) }
        let (frames, ends) = try at.receive(20)
        #expect(frames.map(number(of:)) == Array(0..<20))
        #expect(!ends.isEmpty && ends.allSatisfy { $0 == -ENOBUFS })
    }

    @Test func `withheld buffers are not received into, and nothing is lost meanwhile`() throws {
        let at = try Receiver(buffers: 8)
        // The kernel is shown all of them at first.
        for index in 0..<8 { try #require(at.pair.farSends(numberedFrame(index)) == 0) }
        #expect(at.ring.armReceive(0, tag: tag(1)))
        let all = try at.ring.turns(until: 9)
        at.pool.buffers.withheld = 8
        for completion in all.dropLast() { _ = try at.pool.take(completion) }
        var next = 8
        // Far enough for the tail to wrap.
        while next < 70_000 {
            let shown = next / 8 % 7 + 1
            let frames = Array(next..<next + 8)
            for index in frames { try #require(at.pair.farSends(numberedFrame(index)) == 0) }
            at.pool.buffers.withheld = UInt16(8 - shown)
            at.pool.buffers.publish()
            #expect(at.ring.armReceive(0, tag: tag(1)))
            let first = try at.ring.turns(until: shown + 1)
            try #require(first.compactMap(\.bufferID).count == shown)
            try #require(first.last?.result == -ENOBUFS)
            #expect(at.ring.turn().isEmpty, "the other frames wait in the socket")

            at.pool.buffers.withheld = 0
            at.pool.buffers.publish()
            #expect(at.ring.armReceive(0, tag: tag(1)))
            // The last buffer was used, which ends the request as well.
            let second = try at.ring.turns(until: 8 - shown + 1)
            at.pool.buffers.withheld = 8
            let taken = try (first + second).filter { $0.bufferID != nil }
                .map { number(of: try at.pool.take($0)) }
            try #require(taken == frames)
            next += 8
        }
    }

    @Test func `a buffer that the kernel was shown is not taken back`() throws {
        let at = try Receiver(buffers: 4)
        at.pool.buffers.withheld = 4
        at.pool.buffers.publish()
        #expect(at.ring.armReceive(0, tag: tag(1)))
        for index in 0..<5 { at.pair.farSends(numberedFrame(index)) }
        let completions = try at.ring.turns(until: 5)
        #expect(completions.compactMap(\.bufferID).count == 4)
        #expect(completions.last?.result == -ENOBUFS)
        for completion in completions.dropLast() { _ = try at.pool.take(completion) }
        #expect(at.ring.armReceive(0, tag: tag(1)))
        #expect(try at.ring.turns(until: 1).map(\.result) == [-ENOBUFS], "all are withheld now")
    }

    @Test func `a datagram longer than its buffer tells its real length`() throws {
        let at = try Receiver(buffers: 4, length: 2048)
        #expect(at.ring.armReceive(0, tag: tag(1)))
        #expect(at.ring.turn().isEmpty)
        at.pool.poison()
        at.pair.farSends(numberedFrame(1, length: 3000))
        let completion = try at.ring.turns(until: 1)[0]
        #expect(completion.result == 3000)
        #expect(completion.hasMore, "being cut does not end the request")
        let behind = try at.pool.bytes(of: completion, at: 2048, count: 32)
        #expect(behind.allSatisfy { $0 == 0xDB }, "nothing is written behind the buffer")
        #expect(try at.pool.take(completion) == Array(numberedFrame(1, length: 3000).prefix(2048)))
    }

    @Test func `buffers go round and round past the wrap of the ring's 16-bit tail`() throws {
        let at = try Receiver(buffers: 8)
        #expect(at.ring.armReceive(0, tag: tag(1)))
        var expected = 0
        while expected < 70_000 {
            let batch = Array(expected..<expected + 100)
            for index in batch { try #require(at.pair.farSends(numberedFrame(index)) == 0) }
            try #require(try at.receive(100).frames.map(number(of:)) == batch)
            expected += 100
        }
    }

    @Test func `an overflowing completion queue ends the request and loses nothing`() throws {
        let at = try Receiver(buffers: 128, completions: 8)
        let capacity = at.ring.ring.completionCapacity
        #expect(at.ring.armReceive(0, tag: tag(1)))
        #expect(at.ring.turn().isEmpty)
        let total = capacity + 40
        for index in 0..<total { at.pair.farSends(numberedFrame(index)) }
        at.ring.enter()
        let first = at.ring.reapAll()
        #expect(first.count == capacity, "the queue holds what it was made for and no more")
        #expect(first.allSatisfy { $0.hasMore })
        #expect(try first.map { number(of: try at.pool.take($0)) } == Array(0..<capacity))
        let (frames, ends) = try at.receive(40)
        #expect(frames.map(number(of:)) == Array(capacity..<total))
        #expect(!ends.isEmpty && ends.allSatisfy { $0 > 0 }, "the last frame's completion says so")
    }

    @Test func `a wait gathers frames that came while nobody waited`() throws {
        let at = try Receiver(buffers: 128)
        #expect(at.ring.armReceive(0, tag: tag(1)))
        #expect(at.ring.turn().isEmpty)
        for index in 0..<64 { at.pair.farSends(numberedFrame(index)) }
        #expect(at.ring.reapAll().isEmpty, "completions are posted only inside an enter")
        let (frames, ends) = try at.receive(64)
        #expect(frames.map(number(of:)) == Array(0..<64))
        #expect(ends.isEmpty)
    }

    @Test func `a receive armed after its frames came brings them too`() throws {
        let at = try Receiver(buffers: 16)
        for index in 0..<10 { at.pair.farSends(numberedFrame(index)) }
        #expect(at.ring.armReceive(0, tag: tag(1)))
        #expect(try at.receive(10).frames.map(number(of:)) == Array(0..<10))
    }
}
