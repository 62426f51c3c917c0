// Polls and wakes: how a worker learns that a full port has room, and that somebody wants it.

import Glibc
import IORing
import Testing

@Suite struct PollTests {
    @Test func `a full socket answers once, when a quarter of it is left`() throws {
        let pair = try SocketPair(sendBuffer: 65_536)
        let ring = try TestRing()
        #expect(ring.setFile(0, pair.near) == 0)
        let refused = ring.sendAll((0..<400).map { numberedFrame($0) }, to: 0)
        #expect(!refused.isEmpty)
        #expect(ring.armPoll(0, POLLOUT, tag: tag(4)))
        #expect(ring.turn().isEmpty)
        var bytes = [UInt8](repeating: 0, count: 100)
        #expect(recv(pair.far.number, &bytes, 100, 0) == 60)
        #expect(ring.turn().isEmpty, "one frame less is not yet room")
        #expect(!pair.farReceivesAll().isEmpty)
        let ready = try ring.turns(until: 1)
        #expect(ready.map(\.tag) == [tag(4)])
        #expect(ready.allSatisfy { $0.result & Int32(POLLOUT) != 0 && !$0.hasMore })
    }

    @Test func `a poll of a socket that is not full answers at once`() throws {
        let pair = try SocketPair()
        let ring = try TestRing()
        #expect(ring.setFile(0, pair.near) == 0)
        #expect(ring.armPoll(0, POLLOUT, tag: tag(4)))
        #expect(ring.turn().map(\.tag.kind) == [4])
    }

    @Test func `a signal from another thread ends a wait, again and again`() throws {
        let wake = try Wake()
        let ring = try TestRing()
        #expect(ring.armEventPoll(wake, tag: tag(5)))
        #expect(ring.turn().isEmpty)
        for _ in 0..<100 {
            let thread = RunningThread { wake.signal() }
            let completions = try ring.turns(until: 1)
            thread.join()
            #expect(completions.allSatisfy { $0.tag.kind == 5 && $0.hasMore && $0.result > 0 })
            // The thread's one signal gave one completion, or none is left over for the next round.
            #expect(completions.count == 1)
        }
    }

    @Test func `a signal given before the wake is armed is not lost`() throws {
        let wake = try Wake()
        let ring = try TestRing()
        wake.signal()
        #expect(ring.armEventPoll(wake, tag: tag(5)))
        let completions = try ring.turns(until: 1)
        #expect(completions.map(\.hasMore) == [true])
        wake.signal()
        #expect(try ring.turns(until: 1).count == 1, "an unread counter hides no later signal")
    }

    @Test func `signals that nobody reaps share completions and never block`() throws {
        let wake = try Wake()
        let ring = try TestRing(completions: 256)
        #expect(ring.armEventPoll(wake, tag: tag(5)))
        #expect(ring.turn().isEmpty)
        for _ in 0..<10_000 { wake.signal() }
        let completions = try ring.turns(until: 1)
        #expect(completions.count <= 256)
        #expect(completions.last?.hasMore == true)
    }
}
