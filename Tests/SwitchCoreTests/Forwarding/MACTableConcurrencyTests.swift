// The MAC table between threads: no lookup may pair an address with a port that never had it.

import Support
import SwitchCore
import Synchronization
import Testing

@Suite struct MACTableConcurrencyTests {
    private let keeper = TableKeeper()

    /// Station n is only ever learned behind ports n % 8 and 8 + n % 8, and the table is far too
    /// small for the stations, so slots are rewritten all the time. Any lookup that pairs a key
    /// with another entry's value shows a wrong port seven times out of eight.
    @Test func `no lookup returns a port that never owned the address`() {
        let table = keeper.table(limit: 128, ageingTicks: 2)
        let stationCount = 2000
        let counts = ConcurrencyCounts()
        runOnThreads(4) { index in
            if index < 2 {
                write(table, firstPort: 8 * index, stationCount: stationCount, counts)
                counts.writersLeft.wrappingSubtract(1, ordering: .relaxed)
            } else {
                check(table, seed: UInt64(index), stationCount: stationCount, counts)
            }
        }
        #expect(counts.bad.load(ordering: .relaxed) == 0)
        #expect(counts.hits.load(ordering: .relaxed) > 0)
        // Whatever raced, the accounts balance: all entries die and nothing is left over.
        _ = table.sweepAll(now: 1_000_000)
        #expect(table.total == 0)
        #expect((0..<16).allSatisfy { table.count(of: PortID(index: $0)) == 0 })
        #expect(table.entries(now: 1_000_000).isEmpty)
    }
}

private final class ConcurrencyCounts: Sendable {
    let writersLeft = Atomic(2)
    let bad = Atomic(0)
    let hits = Atomic(0)
    let tick = Atomic(0 as UInt32)
}

/// Learns random stations behind their ports, with the clock advancing, flushes and sweeps.
private func write(
    _ table: MACTable, firstPort: Int, stationCount: Int, _ counts: ConcurrencyCounts
) {
    var generator = SeededGenerator(seed: UInt64(firstPort + 1))
    for round in 0..<50_000 {
        let number = Int.random(in: 0..<stationCount, using: &generator)
        // The two writers' clocks differ by a little, as those of workers do.
        let now = UInt32(round / 125)
        counts.tick.store(now, ordering: .relaxed)
        let port = PortID(index: firstPort + number % 8)
        _ = table.learn(source: station(number), vlan: 0, port: port, now: now)
        if round % 997 == 0 { table.flush(port: port) }
        // Only one thread sweeps.
        if round % 1499 == 0 && firstPort == 0 { table.sweep(slice: 0, of: 1, now: now) }
    }
}

/// Looks up random stations until both writers are done.
private func check(
    _ table: MACTable, seed: UInt64, stationCount: Int, _ counts: ConcurrencyCounts
) {
    var generator = SeededGenerator(seed: seed)
    var bad = 0
    var hits = 0
    while counts.writersLeft.load(ordering: .relaxed) > 0 {
        for _ in 0..<1000 {
            let number = Int.random(in: 0..<stationCount, using: &generator)
            let now = counts.tick.load(ordering: .relaxed)
            let found = table.lookup(destination: station(number), vlan: 0, now: now)
            guard let found else { continue }
            hits += 1
            if found.index % 8 != number % 8 { bad += 1 }
        }
    }
    counts.bad.wrappingAdd(bad, ordering: .relaxed)
    counts.hits.wrappingAdd(hits, ordering: .relaxed)
}
