import Support
import SwitchCore
import Synchronization
import Testing

/// Eight words that say the same while the snapshot lives, and poison once it does not.
private struct Snapshot: ~Copyable, @unchecked Sendable {
    // Sendable: the words change in init and deinit only.
    static var wordCount: Int { 8 }
    static var poison: UInt64 { 0xDEAD_DEAD_DEAD_DEAD }

    private let words: UnsafeMutablePointer<UInt64>

    init(_ number: UInt64) {
        words = .allocate(capacity: Self.wordCount)
        words.initialize(repeating: number, count: Self.wordCount)
    }

    deinit {
        words.update(repeating: Self.poison, count: Self.wordCount)
        words.deallocate()
    }

    /// The number, or `nil` if the words do not agree or are poison.
    var number: UInt64? {
        let first = words[0]
        for index in 1..<Self.wordCount where words[index] != first { return nil }
        return first == Self.poison ? nil : first
    }
}

@Suite struct RCUTests {
    @Test func `a reader gets the value that was published last`() {
        let published = Published(Snapshot(1))
        #expect(published.read().pointee.number == 1)
        let retired = published.publish(Snapshot(2))
        #expect(published.read().pointee.number == 2)
        #expect(retired.inspect { $0.number } == 1)
        retired.reclaim()
        #expect(published.read().pointee.number == 2)
        published.deallocate()
    }

    @Test func `dropping a retired value without reclaiming it is a crash`() async {
        await #expect(processExitsWith: .failure) {
            let published = Published(Snapshot(1))
            _ = published.publish(Snapshot(2))
        }
    }

    @Test func `a period waits for each worker that was online when it began`() {
        let period = GracePeriod(workerCount: 3)
        defer { period.deallocate() }
        period.online(0)
        period.online(1)
        let token = period.start()
        #expect(!period.isOver(token))
        period.quiescent(0)
        #expect(!period.isOver(token))
        period.quiescent(0)
        #expect(!period.isOver(token))
        period.quiescent(1)
        #expect(period.isOver(token))
    }

    @Test func `an offline worker holds nothing up, nor one that comes online later`() {
        let period = GracePeriod(workerCount: 2)
        defer { period.deallocate() }
        #expect(period.isOver(period.start()))
        period.online(0)
        let token = period.start()
        period.online(1)
        #expect(!period.isOver(token))
        period.offline(0)
        #expect(period.isOver(token))
        #expect(!period.isOnline(0) && period.isOnline(1))
    }

    @Test func `periods that overlap end in order`() {
        let period = GracePeriod(workerCount: 1)
        defer { period.deallocate() }
        period.online(0)
        let first = period.start()
        let second = period.start()
        #expect(first < second)
        period.quiescent(0)
        #expect(period.isOver(first) && period.isOver(second))
        let third = period.start()
        #expect(period.isOver(second) && !period.isOver(third))
    }

    @Test func `waiting pauses until the last worker has reported`() {
        let period = GracePeriod(workerCount: 1)
        defer { period.deallocate() }
        period.online(0)
        var pauses = 0
        period.wait(for: period.start()) {
            pauses += 1
            if pauses == 3 { period.quiescent(0) }
        }
        #expect(pauses == 3)
    }

    /// Publish, grace period, poison, free; readers look at what they hold, twice a turn, and sleep
    /// now and then. Under ThreadSanitizer this also proves the ordering argument: a missing edge
    /// is a race on the words.
    @Test func `no reader ever sees a value that was reclaimed`() {
        let readerCount = 2
        let replacements = 5_000
        let published = Published(Snapshot(1))
        let period = GracePeriod(workerCount: readerCount)
        let stop = StopFlag()
        let bad = Tally()
        let reads = Tally()
        runOnThreads(readerCount + 1) { index in
            if index < readerCount {
                read(published, as: index, of: period, until: stop, bad: bad, reads: reads)
                return
            }
            for number in 0..<replacements {
                let retired = published.publish(Snapshot(UInt64(number + 2)))
                period.wait(for: period.start(), pause: yieldProcessor)
                retired.reclaim()
            }
            stop.raise()
        }
        #expect(bad.value == 0)
        #expect(reads.value > 0)
        #expect(published.read().pointee.number == UInt64(replacements + 1))
        period.deallocate()
        published.deallocate()
    }
}

/// Turns of one reader until `stop` is raised.
private func read(
    _ published: Published<Snapshot>, as worker: Int, of period: GracePeriod,
    until stop: StopFlag, bad: Tally, reads: Tally
) {
    var last: UInt64 = 0
    var turns = 0
    period.online(worker)
    while !stop.isRaised || turns == 0 {
        let snapshot = published.read()
        let first = snapshot.pointee.number
        // Later in the turn the same snapshot is still whole, whatever was published meanwhile.
        if turns % 64 == 0 { yieldProcessor() }
        let second = snapshot.pointee.number
        if first == nil || second != first || first.map({ $0 < last }) == true { bad.add(1) }
        last = first ?? last
        turns += 1
        if turns % 16 == 0 {
            period.offline(worker)
            yieldProcessor()
            period.online(worker)
        } else {
            period.quiescent(worker)
        }
    }
    period.offline(worker)
    reads.add(turns)
}

private final class StopFlag: Sendable {
    private let flag = Atomic(false)
    var isRaised: Bool { flag.load(ordering: .relaxed) }
    func raise() { flag.store(true, ordering: .relaxed) }
}

private final class Tally: Sendable {
    private let count = Atomic(0)
    var value: Int { count.load(ordering: .relaxed) }
    func add(_ amount: Int) { count.wrappingAdd(amount, ordering: .relaxed) }
}
