// The MAC table by its rules: learning, moving, ageing, flushing, room.

import Support
import SwitchCore
import Testing

@Suite struct MACTableTests {
    private let keeper = TableKeeper()
    private let a = station(1)
    private let port1 = PortID(index: 1)
    private let port2 = PortID(index: 2)

    @Test func `what was learned is found, in its VLAN only`() {
        let table = keeper.table()
        #expect(table.lookup(destination: a, vlan: 0, now: 5) == nil)
        #expect(table.learn(source: a, vlan: 0, port: port1, now: 5) == .learned)
        #expect(table.learn(source: a, vlan: 7, port: port2, now: 5) == .learned)
        #expect(table.lookup(destination: a, vlan: 0, now: 5) == port1)
        #expect(table.lookup(destination: a, vlan: 7, now: 5) == port2)
        #expect(table.lookup(destination: a, vlan: 8, now: 5) == nil)
        #expect(table.lookup(destination: station(2), vlan: 0, now: 5) == nil)
        #expect(table.total == 2 && table.count(of: port1) == 1 && table.count(of: port2) == 1)
    }

    @Test func `group and zero sources are never learned`() {
        let table = keeper.table()
        for rawValue in [0, 0x0100_5E00_0001, 0xFFFF_FFFF_FFFF] as [UInt64] {
            let source = MACAddress(rawValue: rawValue)
            #expect(table.learn(source: source, vlan: 0, port: port1, now: 0) == .ineligible)
            #expect(table.pin(source, vlan: 0, port: port1, now: 0) == .ineligible)
            #expect(table.lookup(destination: source, vlan: 0, now: 0) == nil)
        }
        #expect(table.total == 0)
    }

    @Test func `an entry is refreshed at most once a tick`() {
        let table = keeper.table()
        #expect(table.learn(source: a, vlan: 0, port: port1, now: 5) == .learned)
        #expect(table.learn(source: a, vlan: 0, port: port1, now: 5) == .unchanged)
        #expect(table.learn(source: a, vlan: 0, port: port1, now: 6) == .refreshed)
        #expect(table.learn(source: a, vlan: 0, port: port1, now: 6) == .unchanged)
        #expect(table.entries(now: 8).map(\.ageTicks) == [2])
    }

    @Test func `a clock that lags behind another worker's changes nothing`() {
        let table = keeper.table(ageingTicks: 3)
        #expect(table.learn(source: a, vlan: 0, port: port1, now: 6) == .learned)
        #expect(table.learn(source: a, vlan: 0, port: port1, now: 5) == .unchanged)
        #expect(table.learn(source: a, vlan: 0, port: port2, now: 5) == .damped)
        #expect(table.lookup(destination: a, vlan: 0, now: 5) == port1)
        #expect(table.entries(now: 5).map(\.ageTicks) == [0])
    }

    @Test func `an entry dies when it is older than the ageing time`() {
        let table = keeper.table(ageingTicks: 300)
        _ = table.learn(source: a, vlan: 0, port: port1, now: 1000)
        #expect(table.lookup(destination: a, vlan: 0, now: 1300) == port1)
        #expect(table.lookup(destination: a, vlan: 0, now: 1301) == nil)
        #expect(table.entries(now: 1301).isEmpty)
        // Dead counts as absent: another port learns it, without a move.
        #expect(table.learn(source: a, vlan: 0, port: port2, now: 1301) == .learned)
        #expect(table.total == 1 && table.count(of: port1) == 0 && table.count(of: port2) == 1)
    }

    @Test(arguments: [UInt32.max - 1, UInt32.max, 0xF_FFFE, 0xF_FFFF, 0x7_FFFF])
    func `ageing survives the wrap of the tick`(start: UInt32) {
        let table = keeper.table(ageingTicks: 300)
        #expect(table.learn(source: a, vlan: 0, port: port1, now: start) == .learned)
        #expect(table.lookup(destination: a, vlan: 0, now: start &+ 300) == port1)
        #expect(table.lookup(destination: a, vlan: 0, now: start &+ 301) == nil)
        #expect(table.learn(source: a, vlan: 0, port: port1, now: start &+ 2) == .refreshed)
        #expect(table.lookup(destination: a, vlan: 0, now: start &+ 302) == port1)
    }

    @Test func `a station moves at most once a tick`() {
        let table = keeper.table()
        _ = table.learn(source: a, vlan: 0, port: port1, now: 5)
        #expect(table.learn(source: a, vlan: 0, port: port2, now: 5) == .damped)
        #expect(table.lookup(destination: a, vlan: 0, now: 5) == port1)
        #expect(table.learn(source: a, vlan: 0, port: port2, now: 6) == .moved)
        #expect(table.learn(source: a, vlan: 0, port: port1, now: 6) == .damped)
        #expect(table.lookup(destination: a, vlan: 0, now: 6) == port2)
        #expect(table.total == 1 && table.count(of: port1) == 0 && table.count(of: port2) == 1)
    }

    @Test func `a station moves at once from a port that was flushed`() {
        let table = keeper.table()
        _ = table.learn(source: a, vlan: 0, port: port1, now: 5)
        table.flush(port: port1)
        #expect(table.learn(source: a, vlan: 0, port: port2, now: 5) == .learned)
        #expect(table.lookup(destination: a, vlan: 0, now: 5) == port2)
        #expect(table.total == 1 && table.count(of: port1) == 0 && table.count(of: port2) == 1)
    }

    @Test func `flushing a port forgets its entries and no others`() {
        let table = keeper.table()
        for number in 0..<100 {
            let port = PortID(index: number % 2)
            _ = table.learn(source: station(number), vlan: 0, port: port, now: 5)
        }
        table.flush(port: PortID(index: 0))
        for number in 0..<100 {
            let found = table.lookup(destination: station(number), vlan: 0, now: 5)
            #expect(found == (number % 2 == 0 ? nil : PortID(index: 1)))
        }
        #expect(table.total == 50 && table.count(of: PortID(index: 0)) == 0)
        // The port learns anew in its new generation.
        let again = table.learn(source: station(0), vlan: 0, port: PortID(index: 0), now: 5)
        #expect(again == .learned)
        #expect(table.lookup(destination: station(0), vlan: 0, now: 5) == PortID(index: 0))
        table.flushAll()
        #expect(table.total == 0 && table.entries(now: 5).isEmpty)
    }

    @Test func `a port can be flushed any number of times`() {
        let table = keeper.table()
        for round in 0..<10_000 {
            #expect(table.learn(source: a, vlan: 0, port: port1, now: 5) == .learned)
            #expect(table.lookup(destination: a, vlan: 0, now: 5) == port1)
            table.flush(port: port1)
            #expect(table.lookup(destination: a, vlan: 0, now: 5) == nil, "round \(round)")
            #expect(table.total == 0)
        }
    }

    @Test func `a pinned station neither moves, ages nor dies with a flush`() {
        let table = keeper.table(ageingTicks: 3)
        _ = table.learn(source: a, vlan: 0, port: port1, now: 5)
        #expect(table.pin(a, vlan: 0, port: port2, now: 5) == .done)
        #expect(table.learn(source: a, vlan: 0, port: port1, now: 9) == .damped)
        #expect(table.learn(source: a, vlan: 0, port: port2, now: 9) == .unchanged)
        table.flush(port: port2)
        #expect(table.lookup(destination: a, vlan: 0, now: 5000) == port2)
        let listed = MACEntry(address: a, vlan: 0, port: port2, ageTicks: 0, isPinned: true)
        #expect(table.entries(now: 5000) == [listed])
        #expect(table.total == 1 && table.count(of: port1) == 0 && table.count(of: port2) == 0)
        #expect(table.pin(a, vlan: 0, port: port1, now: 9) == .done)
        #expect(table.lookup(destination: a, vlan: 0, now: 9) == port1)
        #expect(table.total == 1)
        #expect(table.unpin(a, vlan: 0) == .done)
        #expect(table.unpin(a, vlan: 0) == .absent)
        #expect(table.total == 0)
        #expect(table.learn(source: a, vlan: 0, port: port1, now: 9) == .learned)
        #expect(table.unpin(a, vlan: 0) == .absent)
    }

    @Test func `the sweep removes the dead and keeps the counts true`() {
        let table = keeper.table(limit: 4096, ageingTicks: 10)
        for number in 0..<300 {
            let port = PortID(index: number % 3)
            let now: UInt32 = number < 150 ? 0 : 5
            _ = table.learn(source: station(number), vlan: 0, port: port, now: now)
        }
        #expect(table.sweepAll(now: 10) == 0)
        #expect(table.sweepAll(now: 11) == 150)
        #expect(table.total == 150)
        #expect((0..<3).allSatisfy { table.count(of: PortID(index: $0)) == 50 })
        table.flush(port: PortID(index: 0))
        #expect(table.total == 100)
        #expect(table.sweepAll(now: 11) == 50)
        #expect(table.total == 100 && table.count(of: PortID(index: 0)) == 0)
        #expect(table.sweepAll(now: 100) == 100)
        #expect(table.total == 0)
        #expect((0..<3).allSatisfy { table.count(of: PortID(index: $0)) == 0 })
    }

    @Test func `entries are listed as they are`() {
        let table = keeper.table()
        _ = table.learn(source: station(1), vlan: 0, port: port1, now: 5)
        _ = table.learn(source: station(2), vlan: 4095, port: port2, now: 7)
        let list = table.entries(now: 10).sorted { $0.vlan < $1.vlan }
        #expect(
            list == [
                MACEntry(address: station(1), vlan: 0, port: port1, ageTicks: 5, isPinned: false),
                MACEntry(
                    address: station(2), vlan: 4095, port: port2, ageTicks: 3, isPinned: false),
            ])
    }
}
