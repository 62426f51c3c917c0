// The MAC table between threads: no lookup may pair an address with a port that never had it.

import Support
@_spi(Testing) import SwitchCore
import Synchronization
import Testing

/// Two writers and two readers on one bucket of the table.
///
/// Ten stations share a home line, so that they fight for eight slots. Stations 0..<8 are behind
/// ports 16..<20, which hold many other entries too, so that they are the ones to be replaced. Each
/// writer fills the bucket with these and then learns a newcomer, station 8 or 9, behind its own
/// light port 0 or 1: that rewrites a slot whose entry is alive. Then it flushes its port, and
/// begins again.
///
/// A reader that pairs a key with another entry's value sees a newcomer behind a heavy port, or the
/// reverse.
@Suite struct MACTableConcurrencyTests {
    private let keeper = TableKeeper()

    @Test func `no lookup returns a port that never owned the address`() {
        let table = keeper.table(limit: 256, portCapacity: 32)
        let contest = Contest(table)
        runOnThreads(4) { index in
            if index < 2 {
                contest.write(newcomer: 8 + index, port: PortID(index: index))
            } else {
                contest.look(seed: UInt64(index))
            }
        }
        #expect(contest.wrongPorts.load(ordering: .relaxed) == 0)
        #expect(contest.hits.load(ordering: .relaxed) > 1000)
        #expect(contest.rewrites.load(ordering: .relaxed) > 1000)
        // Whatever raced, the accounts balance: all entries die and nothing is left over.
        _ = table.sweepAll(now: 1_000_000)
        #expect(table.total == 0)
        #expect((0..<32).allSatisfy { table.count(of: PortID(index: $0)) == 0 })
        #expect(table.entries(now: 1_000_000).isEmpty)
    }
}

private final class Contest: Sendable {
    let wrongPorts = Atomic(0)
    let hits = Atomic(0)
    let rewrites = Atomic(0)
    private let writersLeft = Atomic(2)
    private let table: MACTable
    private let stations: [MACAddress]

    init(_ table: MACTable) {
        self.table = table
        let line = table.homeLineIndex(of: station(0), vlan: 0)
        var stations: [MACAddress] = []
        var number = 0
        while stations.count < 10 {
            let candidate = station(number)
            if table.homeLineIndex(of: candidate, vlan: 0) == line { stations.append(candidate) }
            number += 1
        }
        self.stations = stations
        for number in 0..<64 {
            _ = table.learn(
                source: station(1_000_000 + number), vlan: 1, port: Self.heavyPort(number), now: 0)
        }
    }

    private static func heavyPort(_ number: Int) -> PortID {
        PortID(index: 16 + number % 4)
    }

    func write(newcomer: Int, port: PortID) {
        var learned = 0
        for round in 0..<60_000 {
            for number in 0..<8 {
                _ = table.learn(
                    source: stations[number], vlan: 0, port: Self.heavyPort(number), now: 0)
            }
            let result = table.learn(source: stations[newcomer], vlan: 0, port: port, now: 0)
            if result == .learned { learned += 1 }
            table.flush(port: port)
            // Only one thread sweeps.
            if round % 499 == 0 && newcomer == 8 { table.sweep(slice: 0, of: 1, now: 0) }
        }
        rewrites.wrappingAdd(learned, ordering: .relaxed)
        writersLeft.wrappingSubtract(1, ordering: .relaxed)
    }

    /// Looks up random stations until both writers are done, mostly the newcomers.
    func look(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var wrong = 0
        var found = 0
        while writersLeft.load(ordering: .relaxed) > 0 {
            for _ in 0..<1000 {
                let bits = generator.next()
                let number = bits >> 61 == 0 ? Int(bits % 8) : 8 + Int(bits >> 60 & 1)
                guard let port = table.lookup(destination: stations[number], vlan: 0, now: 0)
                else { continue }
                found += 1
                let owner = number < 8 ? Self.heavyPort(number) : PortID(index: number - 8)
                if port != owner { wrong += 1 }
            }
        }
        wrongPorts.wrappingAdd(wrong, ordering: .relaxed)
        hits.wrappingAdd(found, ordering: .relaxed)
    }
}
