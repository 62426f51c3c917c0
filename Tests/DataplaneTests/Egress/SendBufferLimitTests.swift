// The bound of a socket's buffer finds what its peer needs, and no more.

import Testing

@testable import Dataplane

/// A peer that takes `rate` bytes a millisecond out of a socket that the switch visits now and then
/// and fills up to the bound, since more waits than it will ever take.
private struct Reader {
    var limit = SendBufferLimit(least: 10_000, most: 4 << 20)
    var outstanding = 0
    var taken = 0
    var now: UInt64 = 1_000_000_000
    var idleMilliseconds = 0.0

    mutating func visit(after milliseconds: Double, rate: Double) {
        now += UInt64(milliseconds * 1_000_000)
        let wanted = Int(rate * milliseconds)
        if wanted > outstanding { idleMilliseconds += Double(wanted - outstanding) / rate }
        taken += min(wanted, outstanding)
        outstanding -= min(wanted, outstanding)
        _ = limit.note(
            outstanding: outstanding, taken: taken, isQueueWaiting: true, now: now)
        outstanding = max(outstanding, limit.bytes)
    }
}

@Suite struct SendBufferLimitTests {
    @Test(arguments: [20.0, 200.0, 2000.0])
    func `a peer that reads slowly has two milliseconds of its reading in the kernel`(
        rate: Double
    ) {
        var reader = Reader()
        for _ in 0..<2000 { reader.visit(after: 0.5, rate: rate) }
        #expect(reader.limit.bytes == max(10_000, Int(rate * 2)))
    }

    @Test func `a peer that is visited late has more, and never runs out for long`() {
        var reader = Reader()
        for _ in 0..<1000 { reader.visit(after: 8, rate: 200) }
        reader.idleMilliseconds = 0
        for _ in 0..<1000 { reader.visit(after: 8, rate: 200) }
        #expect(reader.limit.bytes >= 1600)
        #expect(reader.limit.bytes <= 4 * 1600 * 2)
        #expect(reader.idleMilliseconds < 0.05 * 8000)
    }

    @Test func `a peer that becomes fast has what it needs within a few visits`() {
        var reader = Reader()
        for _ in 0..<2000 { reader.visit(after: 0.5, rate: 20) }
        reader.idleMilliseconds = 0
        for _ in 0..<20 { reader.visit(after: 0.5, rate: 1000) }
        let atFirst = reader.idleMilliseconds
        for _ in 0..<200 { reader.visit(after: 0.5, rate: 1000) }
        #expect(reader.idleMilliseconds - atFirst < 2)
    }

    @Test func `what passes without waiting is no reason to change anything`() {
        var limit = SendBufferLimit(least: 10_000, most: 1 << 20)
        var now: UInt64 = 1_000_000_000
        for visit in 0..<1000 {
            now += 3_000_000
            let hasChanged = limit.note(
                outstanding: visit % 2 == 0 ? 0 : 300_000, taken: visit * 1000,
                isQueueWaiting: false, now: now)
            #expect(!hasChanged)
        }
        #expect(limit.bytes == 1 << 20)
    }

    @Test func `what stands in the kernel is found though nothing waits here`() {
        var limit = SendBufferLimit(least: 10_000, most: 1 << 20)
        var now: UInt64 = 1_000_000_000
        for visit in 0..<1000 {
            now += 5_000_000
            _ = limit.note(
                outstanding: 400_000, taken: visit * 50_000, isQueueWaiting: false, now: now)
        }
        // 10,000 bytes a millisecond.
        #expect(limit.bytes == 20_000)
    }

    @Test func `a device has no bound`() {
        #expect(!SendBufferLimit(least: 10_000, most: 0).isBounded)
        #expect(SendBufferLimit(least: 10_000, most: 5_000).bytes == 5_000)
    }
}
