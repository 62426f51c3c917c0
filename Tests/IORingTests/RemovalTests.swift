// What ends a request, and what does not: the contracts behind removing a port.

import Glibc
import IORing
import Testing

/// A socket that only slot 1 of a ring holds open, with a receive armed on it, and its peer.
private func receiveOnSlotAlone(_ at: Receiver) throws -> (near: Int32, far: Descriptor) {
    var ends: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, closingDatagrams, 0, &ends) == 0)
    let far = try Descriptor(ends[1])
    try #require(at.ring.ring.setFile(slot: 1, fd: ends[0]) == 0)
    try #require(at.ring.armReceive(1, tag: tag(1)))
    try #require(at.ring.turn().isEmpty)
    return (ends[0], far)
}

private func sends(_ descriptor: Descriptor, _ frame: [UInt8]) -> Int32 {
    let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
    return send(descriptor.number, frame, frame.count, flags) < 0 ? errno : 0
}

@Suite struct RemovalTests {
    @Test func `cancelling by file ends every request of it with a last completion`() throws {
        let at = try Receiver(buffers: 8)
        #expect(at.ring.armReceive(0, tag: tag(1)))
        #expect(at.ring.armPoll(0, POLLERR, tag: tag(2)))
        #expect(at.ring.turn().isEmpty)
        #expect(at.ring.cancelAll(0, tag: tag(3)))
        let completions = try at.ring.turns(until: 3)
        for kind in [UInt8(1), 2] {
            let last = completions.filter { $0.tag.kind == kind }
            #expect(last.map(\.result) == [-ECANCELED])
            #expect(last.map(\.hasMore) == [false])
        }
        #expect(completions.filter { $0.tag.kind == 3 }.map(\.result) == [2])
        at.pool.poison()
        at.pair.farSends(numberedFrame(1))
        #expect(at.ring.turn().isEmpty)
        #expect(at.pool.isPoisonIntact(), "the kernel writes no more")
    }

    @Test func `other files of the ring are not cancelled`() throws {
        let at = try Receiver(buffers: 8)
        let other = try SocketPair()
        #expect(at.ring.setFile(1, other.near) == 0)
        #expect(at.ring.armReceive(0, tag: tag(1)))
        #expect(at.ring.armReceive(1, tag: tag(2)))
        #expect(at.ring.turn().isEmpty)
        #expect(at.ring.cancelAll(0, tag: tag(3)))
        #expect(Set(try at.ring.turns(until: 2).map(\.tag.kind)) == [1, 3])
        other.farSends(numberedFrame(4))
        let completion = try at.ring.turns(until: 1)[0]
        #expect(completion.tag.kind == 2 && completion.hasMore)
    }

    @Test func `with frames under way, the receive still ends with one last completion`() throws {
        let at = try Receiver(buffers: 64)
        #expect(at.ring.armReceive(0, tag: tag(1)))
        #expect(at.ring.turn().isEmpty)
        for index in 0..<40 { at.pair.farSends(numberedFrame(index)) }
        #expect(at.ring.cancelAll(0, tag: tag(3)))
        var all: [Completion] = []
        while !all.contains(where: { $0.tag.kind == 1 && !$0.hasMore })
            || !all.contains(where: { $0.tag.kind == 3 })
        {
            all += try at.ring.turns(until: 1)
        }
        at.pool.poison()
        at.pair.farSends(numberedFrame(41))
        #expect(at.ring.turn().isEmpty)
        #expect(at.pool.isPoisonIntact())
    }

    @Test func `cancelling where nothing is armed answers 0, and on an empty slot EBADF`() throws {
        let at = try Receiver(buffers: 8)
        #expect(at.ring.cancelAll(0, tag: tag(3)))
        #expect(try at.ring.turns(until: 1).map(\.result) == [0])
        #expect(at.ring.clearFile(0) == 0)
        #expect(at.ring.cancelAll(0, tag: tag(3)))
        #expect(try at.ring.turns(until: 1).map(\.result) == [-EBADF])
    }

    @Test func `a receive outlives its slot and descriptor, and still writes to the pool`() throws {
        let at = try Receiver(buffers: 8)
        let (near, far) = try receiveOnSlotAlone(at)
        #expect(at.ring.clearFile(1) == 0)
        close(near)
        #expect(sends(far, numberedFrame(6)) == 0)
        let completion = try at.ring.turns(until: 1)[0]
        #expect(completion.hasMore)
        #expect(try at.pool.take(completion) == numberedFrame(6))
    }

    @Test func `after cancelling, clearing and closing the socket is gone`() throws {
        let at = try Receiver(buffers: 8)
        let (near, far) = try receiveOnSlotAlone(at)
        #expect(at.ring.cancelAll(1, tag: tag(3)))
        #expect(try at.ring.turns(until: 2).count == 2)
        #expect(at.ring.clearFile(1) == 0)
        close(near)
        // The file's last reference may go with the kernel's next work for this ring.
        let end = ContinuousClock.now + .nanoseconds(waitLimitNanoseconds)
        var refusal: Int32 = 0
        while refusal == 0 || refusal == EAGAIN, ContinuousClock.now < end {
            refusal = sends(far, numberedFrame(6))
            _ = at.ring.enter(waitingFor: 1, nanoseconds: 1_000_000)
        }
        #expect(refusal == ECONNREFUSED || refusal == ENOTCONN || refusal == ECONNRESET)
        #expect(at.ring.reapAll().isEmpty)
    }

    @Test func `a slot takes a new file in place of the old one`() throws {
        let first = try SocketPair()
        let second = try SocketPair()
        let ring = try TestRing()
        #expect(ring.setFile(0, first.near) == 0)
        #expect(ring.setFile(0, second.near) == 0)
        #expect(ring.sendAll([numberedFrame(1)], to: 0).isEmpty)
        #expect(first.farReceivesAll().isEmpty)
        #expect(second.farReceivesAll().count == 1)
        #expect(ring.ring.setFile(slot: 0, fd: 1 << 20) == -EBADF)
    }

    @Test func `a pool unregistered under an armed receive is not written to`() throws {
        let at = try Receiver(buffers: 8)
        #expect(at.ring.armReceive(0, tag: tag(1)))
        #expect(at.ring.turn().isEmpty)
        try at.pool.unregister()
        at.pool.poison()
        at.pair.farSends(numberedFrame(1))
        let end = try at.ring.turns(until: 1)
        #expect(end.map(\.result) == [-ENOBUFS])
        #expect(end.map(\.hasMore) == [false])
        #expect(at.pool.isPoisonIntact())
    }
}
