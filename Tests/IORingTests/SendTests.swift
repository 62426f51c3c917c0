// What the kernel promises about non-blocking sends.

import Glibc
import IORing
import Support
import Testing

@Suite struct SendTests {
    @Test func `sends end inside the enter that submits them, in order and silently`() throws {
        let pair = try SocketPair()
        let ring = try TestRing()
        #expect(ring.setFile(3, pair.near) == 0)
        let refused = ring.sendAll((0..<40).map { numberedFrame($0) }, to: 3)
        #expect(refused.isEmpty)
        #expect(pair.farReceivesAll().map(number(of:)) == Array(0..<40))
    }

    @Test func `staging makes no system call and nothing leaves before the enter`() throws {
        let pair = try SocketPair()
        let ring = try TestRing()
        #expect(ring.setFile(0, pair.near) == 0)
        numberedFrame(1).withUnsafeBytes { bytes in
            let send = SendRequest(
                address: bytes.baseAddress!, length: 60, fileSlot: 0, tag: tag(1), operation: .send)
            #expect(ring.stage([send]) == 1)
            #expect(pair.farReceivesAll().isEmpty)
            #expect(ring.enter() == 1)
        }
        #expect(pair.farReceivesAll().count == 1)
        #expect(ring.enter() == 0)
    }

    @Test func `a full socket refuses frames by tag, and delivers exactly the others`() throws {
        let pair = try SocketPair(sendBuffer: 16_384)
        let ring = try TestRing()
        #expect(ring.setFile(0, pair.near) == 0)
        let refused = ring.sendAll((0..<200).map { numberedFrame($0) }, to: 0)
        let arrived = pair.farReceivesAll()
        #expect(!refused.isEmpty && !arrived.isEmpty)
        #expect(refused.allSatisfy { $0.result == -EAGAIN && !$0.hasMore && $0.tag.kind == 9 })
        #expect(arrived.allSatisfy { $0.count == 60 }, "no empty datagram takes a frame's place")
        #expect(arrived.map(number(of:)) == Array(0..<arrived.count), "a prefix, in order")
        #expect(refused.map(\.tag.slot) == Array(arrived.count..<200))
        #expect(ring.sendAll([numberedFrame(7)], to: 0).isEmpty, "there is room again")
        #expect(ring.turn().isEmpty, "no refused send comes back to life")
        #expect(pair.farReceivesAll().map(number(of:)) == [7])
    }

    @Test func `a peer whose queue is full refuses and gets no empty datagram`() throws {
        // Only the sender is connected, so the receiver's queue length (max_dgram_qlen) is the
        // limit: the case in which a parked send would deliver an empty datagram and lose the
        // frame.
        let receiver = try Descriptor(socket(AF_UNIX, closingDatagrams, 0))
        let sender = try Descriptor(socket(AF_UNIX, closingDatagrams, 0))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var length = socklen_t(MemoryLayout<sa_family_t>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                // Without a path the kernel gives an abstract name.
                #expect(bind(receiver.number, generic, length) == 0)
                length = socklen_t(MemoryLayout<sockaddr_un>.size)
                #expect(getsockname(receiver.number, generic, &length) == 0)
                #expect(connect(sender.number, generic, length) == 0)
            }
        }
        let ring = try TestRing()
        #expect(ring.setFile(0, sender) == 0)
        let refused = ring.sendAll((0..<2_000).map { numberedFrame($0) }, to: 0)
        var lengths: [Int] = []
        var bytes = [UInt8](repeating: 0, count: 100)
        while case let count = recv(receiver.number, &bytes, 100, Int32(MSG_DONTWAIT)),
            count >= 0
        {
            lengths.append(count)
            #expect(ring.turn().isEmpty, "nothing was parked")
        }
        #expect(refused.allSatisfy { $0.result == -EAGAIN })
        #expect(lengths.allSatisfy { $0 == 60 })
        #expect(refused.count > 0 && refused.count + lengths.count == 2_000)
    }

    @Test func `a frame that fails does not hold back those behind it`() throws {
        let pair = try SocketPair(sendBuffer: 4_608)
        let ring = try TestRing()
        #expect(ring.setFile(0, pair.near) == 0)
        let frames = [numberedFrame(0), numberedFrame(1, length: 30_000), numberedFrame(2)]
        let refused = ring.sendAll(frames, to: 0)
        #expect(refused.map(\.result) == [-EMSGSIZE])
        #expect(refused.map(\.tag.slot) == [1])
        #expect(pair.farReceivesAll().map(number(of:)) == [0, 2])
        #expect(ring.sendAll(frames, to: 5).map(\.result) == [-EBADF, -EBADF, -EBADF])
    }

    @Test func `a dead peer refuses with an error that names it`() throws {
        let ring = try TestRing()
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, closingDatagrams, 0, &ends) == 0)
        let near = try Descriptor(ends[0])
        closeForGood(ends[1])
        #expect(ring.setFile(0, near) == 0)
        #expect(ring.sendAll([numberedFrame(0)], to: 0).map(\.result) == [-ECONNREFUSED])
    }

    @Test func `more sends than the submission queue holds go in pieces`() throws {
        let pair = try SocketPair()
        let ring = try TestRing(submissions: 8)
        #expect(ring.ring.submissionCapacity == 8)
        #expect(ring.setFile(0, pair.near) == 0)
        let frame = numberedFrame(4)
        frame.withUnsafeBytes { bytes in
            let sends = (0..<20).map {
                SendRequest(
                    address: bytes.baseAddress!, length: 60, fileSlot: 0, tag: tag(1, slot: $0),
                    operation: .send)
            }
            #expect(ring.stage(sends) == 8)
            #expect(ring.stage(sends) == 0)
            #expect(ring.enter() == 8)
            #expect(ring.stage(sends[8...]) == 8)
            #expect(ring.armPoll(0, POLLIN, tag: tag(2)))
            #expect(ring.enter() == 1)
        }
        #expect(pair.farReceivesAll().count == 16, "a request on a full queue submits it by itself")
    }

    @Test func `an enter waiting for nothing does not block, and a wait ends with its time`() throws
    {
        let ring = try TestRing()
        #expect(ring.enter() == 0)
        #expect(ring.enter(nanoseconds: waitLimitNanoseconds) == 0)
        #expect(ring.enter(waitingFor: 1, nanoseconds: 1) == -ETIME)
        #expect(ring.enter(waitingFor: 1, nanoseconds: 2_000_000) == -ETIME)
        #expect(ring.enter(waitingFor: 1, nanoseconds: 0) == -ETIME)
    }
}
