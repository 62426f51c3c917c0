// What a look at the MAC table and at the counters finds.

import SwitchCore
import Testing

@testable import Control

@Suite struct EventWatchTests {
    private static let stations = (1...3).map { MACAddress(rawValue: 0x0200_0000_0000 + $0) }

    private func withTable(limit: Int = 1024, _ body: (MACTable) throws -> Void) rethrows {
        let table = MACTable(limit: limit, portCapacity: 8, ageingTicks: 300, seed: 1)
        defer { table.deallocate() }
        try body(table)
    }

    @Test func `addresses that are known already are not new, later ones are`() {
        withTable { table in
            _ = table.learn(source: Self.stations[0], vlan: 0, port: PortID(index: 1), now: 1)
            var watch = MACWatch(table, now: 1)
            #expect(watch.look(now: 1).changes.isEmpty)
            _ = table.learn(source: Self.stations[1], vlan: 7, port: PortID(index: 2), now: 2)
            let found = watch.look(now: 2)
            #expect(
                found.changes == [
                    MACWatch.Change(
                        address: Self.stations[1], vlan: 7, port: PortID(index: 2), from: nil)
                ])
            #expect(found.omitted == 0)
            #expect(watch.look(now: 2).changes.isEmpty)
        }
    }

    @Test func `an address that moves is told with both ports, one that comes back as new`() {
        withTable { table in
            let station = Self.stations[0]
            _ = table.learn(source: station, vlan: 0, port: PortID(index: 1), now: 1)
            var watch = MACWatch(table, now: 1)
            _ = table.learn(source: station, vlan: 0, port: PortID(index: 2), now: 5)
            #expect(
                watch.look(now: 5).changes == [
                    MACWatch.Change(
                        address: station, vlan: 0, port: PortID(index: 2), from: PortID(index: 1))
                ])
            table.flush(port: PortID(index: 2))
            #expect(watch.look(now: 6).changes.isEmpty)
            _ = table.learn(source: station, vlan: 0, port: PortID(index: 2), now: 7)
            #expect(watch.look(now: 7).changes.first?.from == nil)
        }
    }

    @Test func `a flood of addresses is told in part, and counted in whole`() {
        withTable { table in
            var watch = MACWatch(table, now: 1)
            for number in 1...400 as ClosedRange<UInt64> {
                let address = MACAddress(rawValue: 0x0200_0000_0000 + number)
                _ = table.learn(source: address, vlan: 0, port: PortID(index: 1), now: 1)
            }
            let found = watch.look(now: 1)
            #expect(found.changes.count == MACWatch.changesMax)
            #expect(found.changes.count + found.omitted == table.entries(now: 1).count)
        }
    }

    @Test func `a large table is looked at in slices, and nothing in it is missed or told twice`() {
        withTable { table in
            var watch = MACWatch(table, now: 1, bucketsMax: 500)
            let ports = (0..<200).map { PortID(index: 1 + $0 % 4) }
            for (number, port) in ports.enumerated() {
                let address = MACAddress(rawValue: 0x0200_0000_0000 + UInt64(number + 1))
                _ = table.learn(source: address, vlan: 0, port: port, now: 1)
            }
            var looks = 0
            var seen: [UInt64] = []
            while seen.count < 200, looks < 100 {
                seen += watch.look(now: 1).changes.map(\.address.rawValue)
                looks += 1
            }
            #expect(looks > 1 && seen.count == 200 && Set(seen).count == 200)
            for _ in 0..<looks { #expect(watch.look(now: 1).changes.isEmpty) }
        }
    }

    // MARK: Congestion

    private struct Rig {
        let counters = CounterTable(portCapacity: 2, workerCount: 1)
        var watch = CongestionWatch()
        var block: CounterBlock { counters.block(port: PortID(index: 0)) }

        mutating func look(name: String = "a") -> [SwitchEvent.Kind] {
            watch.look([
                CongestionWatch.Subject(
                    name: name, id: PortID(index: 0),
                    counters: counters.snapshot(port: PortID(index: 0)))
            ]).map(\.type)
        }
    }

    @Test func `a port that drops for its slow peer is congested until nothing is dropped`() {
        var rig = Rig()
        defer { rig.counters.deallocate() }
        rig.block.add(dropped: .queueFull, 5)
        #expect(rig.look() == [])
        rig.block.add(dropped: .queueExpired, 3)
        #expect(rig.look() == [.portCongested])
        rig.block.add(dropped: .queueFull)
        #expect(rig.look() == [])
        #expect(rig.look() == [.portRecovered])
        rig.block.add(dropped: .codel, 100)
        rig.block.add(dropped: .noEligiblePort, 100)
        #expect(rig.look() == [])
    }

    @Test func `frames that wait at two looks in a row are congestion`() {
        var rig = Rig()
        defer { rig.counters.deallocate() }
        #expect(rig.look() == [])
        rig.block.set(.queuedFrames, to: 4)
        #expect(rig.look() == [])
        rig.block.set(.queuedFrames, to: 1)
        #expect(rig.look() == [.portCongested])
        #expect(rig.look() == [])
        rig.block.set(.queuedFrames, to: 0)
        #expect(rig.look() == [.portRecovered])
    }

    @Test func `a new port under an old index starts anew`() {
        var rig = Rig()
        defer { rig.counters.deallocate() }
        #expect(rig.look() == [])
        rig.block.add(dropped: .queueFull)
        #expect(rig.look(name: "b") == [])
    }

    @Test func `a storm is told with the number of frames, as long as it lasts`() {
        var rig = Rig()
        defer { rig.counters.deallocate() }
        #expect(rig.look() == [])
        for _ in 0..<2 {
            rig.block.add(dropped: .stormLimited, 9)
            #expect(rig.look() == [.portStorms])
        }
        #expect(rig.look() == [])
    }

    @Test func `moves that are damped are told with their number`() {
        var rig = Rig()
        defer { rig.counters.deallocate() }
        #expect(rig.look() == [])
        rig.block.add(.macMovesDamped, 9)
        #expect(rig.look() == [.macMovesDamped])
        #expect(rig.look() == [])
    }
}
