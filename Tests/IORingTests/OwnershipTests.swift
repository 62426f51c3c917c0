// Which thread may do what: the contracts behind creating rings in Control and running them in
// workers.

import Glibc
import IORing
import Testing

@Suite struct OwnershipTests {
    @Test func `a ring made and furnished here is enabled and used by another thread`() throws {
        let pair = try SocketPair()
        let ring = try TestRing(isEnabled: false)
        #expect(ring.setFile(0, pair.near) == 0)
        let pool = try TestPool(for: ring, count: 8)
        onOwnThread {
            try ring.enable()
            #expect(ring.armReceive(0, tag: tag(1)))
            #expect(ring.turn().isEmpty)
            pair.farSends(numberedFrame(8))
            #expect(try pool.take(try ring.turns(until: 1)[0]) == numberedFrame(8))
            #expect(ring.sendAll([numberedFrame(9)], to: 0).isEmpty)
            #expect(pair.farReceivesAll().map(number(of:)) == [9])
            try pool.unregister()
        }
    }

    @Test func `threads other than the owner are refused, registrations included`() throws {
        let pair = try SocketPair()
        let ring = try TestRing()
        onOwnThread {
            #expect(ring.enter() == -EEXIST)
            #expect(ring.setFile(0, pair.near) == -EEXIST)
            #expect(throws: RingError.systemCall("io_uring_register (buffer ring)", EEXIST)) {
                _ = try TestPool(for: ring, count: 8)
            }
        }
        #expect(ring.setFile(0, pair.near) == 0)
        #expect(ring.sendAll([numberedFrame(1)], to: 0).isEmpty)
    }

    @Test func `a ring does no work before it is enabled, which happens once`() throws {
        let ring = try TestRing(isEnabled: false)
        #expect(ring.enter() == -EBADFD)
        try ring.enable()
        #expect(ring.enter() == 0)
        #expect(throws: RingError.systemCall("io_uring_register (enable)", EBADFD)) {
            try ring.enable()
        }
    }

    @Test func `a ring destroyed by another thread leaves that thread's own ring alone`() throws {
        let foreign = Handover<TestRing?>(nil)
        let pair = try SocketPair()
        let own = try TestRing()
        #expect(own.setFile(0, pair.near) == 0)
        // Both rings hold the first registered place of their threads.
        onOwnThread { foreign.value = try TestRing() }
        foreign.value = nil
        #expect(own.sendAll([numberedFrame(1)], to: 0).isEmpty)
        #expect(pair.farReceivesAll().count == 1)
    }

    @Test func `more rings than a thread can register work all the same`() throws {
        let pair = try SocketPair()
        var rings: [TestRing] = []
        for _ in 0..<20 { rings.append(try TestRing(submissions: 2, completions: 4)) }
        for ring in rings {
            #expect(ring.setFile(0, pair.near) == 0)
            #expect(ring.sendAll([numberedFrame(1)], to: 0).isEmpty)
        }
        #expect(pair.farReceivesAll().count == 20)
    }

    @Test func `a ring and a wake leave no descriptor behind`() async {
        await #expect(processExitsWith: .success) {
            let isOpen = { (descriptor: Int) in fcntl(Int32(descriptor), F_GETFD) != -1 }
            let before = (0..<1024).count(where: isOpen)
            for _ in 0..<50 {
                let ring = try TestRing()
                let wake = try Wake()
                precondition(ring.armEventPoll(wake, tag: CompletionTag(rawValue: 1)))
                _ = ring.enter()
            }
            // Other threads of the process may open a few of their own meanwhile; a leak shows
            // fifty.
            precondition((0..<1024).count(where: isOpen) < before + 25)
        }
    }

    @Test func `a file slot that does not exist traps`() async {
        await #expect(processExitsWith: .failure) {
            let ring = try TestRing(fileSlots: 8)
            ring.ring.clearFile(slot: 8)
        }
        await #expect(processExitsWith: .failure) {
            let ring = try TestRing(fileSlots: 8)
            ring.ring.clearFile(slot: -1)
        }
    }
}
