// Buffer rings: addresses, strides, giving back, poison.

import Glibc
import IORing
import Testing

@Suite struct BufferRingTests {
    @Test(arguments: [1, 47, 48, 49, 1514, 1518, 2048, 4080, 9018, 65_520, 65_550])
    func `a stride holds headroom and buffer in an odd number of cache lines`(length: Int) {
        let stride = BufferRing.stride(bufferLength: length)
        #expect(stride >= length + BufferRing.headroom)
        #expect(stride < length + BufferRing.headroom + 128)
        #expect(stride % 64 == 0 && stride / 64 % 2 == 1)
    }

    @Test func `the first lines of the buffers spread over all sets of the L1 cache`() throws {
        let buffers = try BufferRing(group: 1, count: 64, bufferLength: 4096 - 16)
        var sets: Set<UInt> = []
        for id in 0..<UInt16(64) {
            sets.insert(UInt(bitPattern: buffers.address(of: id)) / 64 % 64)
        }
        #expect(sets.count == 64)
    }

    @Test(arguments: [(1, 1), (64, 1518), (16, 65_550), (64, 65_550), (32_768, 64)])
    func `buffers are apart, aligned and inside the pool`(count: Int, length: Int) throws {
        let buffers = try BufferRing(group: 1, count: count, bufferLength: length)
        let (stride, poolLength) = (buffers.stride, buffers.poolLength)
        #expect(stride == BufferRing.stride(bufferLength: length))
        #expect(stride * count <= poolLength)
        let first = buffers.address(of: 0)
        let last = buffers.address(of: UInt16(count - 1))
        #expect(UInt(bitPattern: first) % 64 == 16)
        #expect(last - first == (count - 1) * stride)
        last.storeBytes(of: 1, toByteOffset: length - 1, as: UInt8.self)
    }

    @Test func `poison shows the first foreign byte`() throws {
        let buffers = try BufferRing(group: 1, count: 4, bufferLength: 100)
        let fresh = buffers.isPoisonIntact()
        buffers.poison()
        let poisoned = buffers.isPoisonIntact()
        buffers.address(of: 3).storeBytes(of: 0, toByteOffset: 99, as: UInt8.self)
        let touched = buffers.isPoisonIntact()
        #expect(!fresh && poisoned && !touched)
    }

    @Test func `a group's number is taken once, and free again after unregistering`() throws {
        let ring = try TestRing()
        let first = try TestPool(for: ring, group: 7, count: 4)
        #expect(throws: RingError.systemCall("io_uring_register (buffer ring)", EEXIST)) {
            _ = try TestPool(for: ring, group: 7, count: 4)
        }
        try first.unregister()
        #expect(!first.isRegistered)
        try first.register()
        #expect(first.isRegistered)
    }

    @Test func `registering again starts with all buffers, whatever was not given back`() throws {
        let at = try Receiver(buffers: 4)
        for _ in 0..<3 {
            #expect(at.ring.armReceive(0, tag: tag(1)))
            for index in 0..<3 { at.pair.farSends(numberedFrame(index)) }
            #expect(try at.ring.turns(until: 3).allSatisfy { $0.hasMore })
            #expect(at.ring.cancelAll(0, tag: tag(2)))
            #expect(try at.ring.turns(until: 2).count == 2)
            try at.pool.unregister()
            try at.pool.register()
        }
    }

    @Test func `freeing a pool that the kernel may write to traps`() async {
        await #expect(processExitsWith: .failure) {
            var ring = try Ring(submissionEntries: 8, completionEntries: 32, fileSlots: 4)
            var buffers = try BufferRing(group: 1, count: 4, bufferLength: 100)
            try buffers.register(with: &ring)
        }
    }

    @Test func `a count that is no power of two, and an id that does not exist, trap`() async {
        await #expect(processExitsWith: .failure) {
            _ = try BufferRing(group: 1, count: 3, bufferLength: 100)
        }
        await #expect(processExitsWith: .failure) {
            let buffers = try BufferRing(group: 1, count: 4, bufferLength: 100)
            _ = buffers.address(of: 4)
        }
    }
}
