// Port sets: membership, order of iteration, bounds.

import Support
import SwitchCore
import Testing

@Suite struct PortSetTests {
    private func members(_ set: PortSet) -> [Int] {
        var list: [Int] = []
        var next = set.first
        while let port = next {
            list.append(port.index)
            next = set.next(after: port)
        }
        return list
    }

    @Test func `the empty set has no members`() {
        let set = PortSet()
        #expect(set.isEmpty)
        #expect(set.count == 0)
        #expect(members(set).isEmpty)
    }

    @Test func `every port alone is found, and gone when removed`() {
        for index in 0..<PortID.capacityMax {
            var set = PortSet()
            set.insert(PortID(index: index))
            #expect(members(set) == [index])
            #expect(set.contains(PortID(index: index)))
            set.remove(PortID(index: index))
            #expect(set == PortSet())
        }
    }

    @Test(arguments: Seeds.list(20))
    func `it agrees with a set of numbers`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var set = PortSet()
        var reference: Set<Int> = []
        for _ in 0..<500 {
            let index = Int.random(in: 0..<PortID.capacityMax, using: &generator)
            if Bool.random(using: &generator) {
                set.insert(PortID(index: index))
                reference.insert(index)
            } else {
                set.remove(PortID(index: index))
                reference.remove(index)
            }
        }
        #expect(members(set) == reference.sorted(), "RINGSWITCH_SEED=\(seed)")
        #expect(set.count == reference.count, "RINGSWITCH_SEED=\(seed)")
    }
}
