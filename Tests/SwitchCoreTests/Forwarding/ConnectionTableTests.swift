// Connection tables: entries, flood lists, versions.

import SwitchCore
import Testing

@Suite struct ConnectionTableTests {
    private func flood(_ table: borrowing ConnectionTable, from index: Int) -> [Int] {
        table.floodList(from: PortID(index: index)).map(\.index)
    }

    @Test func `a flood reaches all attached eligible ports but its own`() {
        var entries = Array(repeating: PortEntry(isAttached: true), count: 6)
        entries[2].isAttached = false
        entries[4].floodEligible = false
        let table = ConnectionTable(version: 7, entries: entries)
        #expect(table.version == 7)
        #expect(flood(table, from: 0) == [1, 3, 5])
        #expect(flood(table, from: 1) == [3, 5, 0])
        #expect(flood(table, from: 3) == [5, 0, 1])
        #expect(flood(table, from: 5) == [0, 1, 3])
        #expect(flood(table, from: 4) == [0, 1, 3, 5])
    }

    @Test func `a lone port floods to nobody`() {
        let table = ConnectionTable(version: 1, entries: [PortEntry(isAttached: true)])
        #expect(flood(table, from: 0).isEmpty)
    }

    @Test func `a full table floods each port to all 1,023 others`() {
        let table = ConnectionTable(
            version: 1,
            entries: Array(repeating: PortEntry(isAttached: true), count: PortID.capacityMax))
        for index in 0..<PortID.capacityMax {
            var others = Set(0..<PortID.capacityMax)
            others.remove(index)
            let list = flood(table, from: index)
            #expect(list.count == 1023 && Set(list) == others)
        }
    }

    @Test func `entries are found by index, and nothing beyond them`() {
        let entries = [
            PortEntry(generation: 1, isAttached: true, worker: 2, maxFrame: 9018, attachment: 77),
            PortEntry(generation: 5),
        ]
        let table = ConnectionTable(version: 1, entries: entries)
        #expect(table.portCount == 2)
        #expect(table.entry(of: PortID(index: 0))?.pointee == entries[0])
        #expect(table.attachedEntry(of: PortID(index: 0))?.pointee == entries[0])
        #expect(table.entry(of: PortID(index: 1))?.pointee == entries[1])
        #expect(table.attachedEntry(of: PortID(index: 1)) == nil)
        #expect(table.entry(of: PortID(index: 2)) == nil)
        #expect(table.floodList(from: PortID(index: 2)).isEmpty)
        #expect(table.attached.contains(PortID(index: 0)))
        #expect(table.attached.count == 1)
        #expect(table.copyEntries() == entries)
    }

    @Test func `an empty table is a table`() {
        let table = ConnectionTable(version: 0, entries: [])
        #expect(table.portCount == 0)
        #expect(table.entry(of: PortID(index: 0)) == nil)
        #expect(table.attached.isEmpty)
    }
}
