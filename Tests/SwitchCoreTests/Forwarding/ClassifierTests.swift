// The classifier case by case: each rule, its order, and what it counts.

import Support
import SwitchCore
import Testing

@Suite struct ClassifierTests {
    private let a = station(1)
    private let b = station(2)
    private let port0 = PortID(index: 0)
    private let port1 = PortID(index: 1)
    private let port2 = PortID(index: 2)

    private func attached(_ count: Int, maxFrame: Int32 = 1518) -> [PortEntry] {
        Array(repeating: PortEntry(isAttached: true, maxFrame: maxFrame), count: count)
    }

    private func frame(
        _ source: MACAddress, to destination: MACAddress, from port: PortID, length: Int = 60,
        vlan: UInt16? = nil
    ) -> FrameBatch.Item {
        var builder = FrameBuilder(destination: destination, source: source, length: length)
        if let vlan { builder = builder.tagged(vlan: vlan) }
        return FrameBatch.Item(builder, from: port)
    }

    @Test func `an empty batch is nothing`() {
        let fixture = ClassifierFixture(ports: attached(2))
        #expect(fixture.classify([]).isEmpty)
        #expect(fixture.counters.snapshot() == CounterSnapshot())
    }

    @Test func `an unknown destination floods, a known one does not`() {
        let fixture = ClassifierFixture(ports: attached(3))
        #expect(fixture.classify([frame(a, to: b, from: port0)]) == [.flood])
        #expect(fixture.classify([frame(b, to: a, from: port1)]) == [.unicast(to: port0)])
        #expect(fixture.classify([frame(a, to: b, from: port0)]) == [.unicast(to: port1)])
        #expect(fixture.counts(of: port0).floodCopies == 1)
        #expect(fixture.counters.snapshot()[.receivedFrames] == 3)
        #expect(fixture.counters.snapshot()[.receivedBytes] == 180)
    }

    @Test func `the whole batch is learned before the first frame is decided`() {
        let fixture = ClassifierFixture(ports: attached(3))
        let batch = [frame(a, to: b, from: port0), frame(b, to: a, from: port1)]
        #expect(fixture.classify(batch) == [.unicast(to: port1), .unicast(to: port0)])
    }

    @Test func `group addresses flood always`() {
        let fixture = ClassifierFixture(ports: attached(3))
        for rawValue in [0xFFFF_FFFF_FFFF, 0x3333_0000_0001, 0x0100_5E00_00FB] as [UInt64] {
            let group = MACAddress(rawValue: rawValue)
            #expect(fixture.classify([frame(a, to: group, from: port0)]) == [.flood])
        }
    }

    @Test func `a frame to its own ingress port is filtered`() {
        let fixture = ClassifierFixture(ports: attached(3))
        _ = fixture.classify([frame(a, to: b, from: port0)])
        let batch = Array(repeating: frame(b, to: a, from: port0), count: 3)
        #expect(fixture.classify(batch) == Array(repeating: .drop(.filtered), count: 3))
        #expect(fixture.counts(of: port0).drops == [.filtered: 3])
    }

    @Test func `with nobody to flood to there is no eligible port`() {
        var ports = attached(3)
        ports[1].isAttached = false
        ports[2].floodEligible = false
        let fixture = ClassifierFixture(ports: ports)
        let batch = Array(repeating: frame(a, to: .broadcast, from: port0), count: 2)
        #expect(fixture.classify(batch) == Array(repeating: .drop(.noEligiblePort), count: 2))
        #expect(fixture.counts(of: port0).drops == [.noEligiblePort: 2])
        #expect(fixture.counts(of: port0).floodCopies == 0)
    }

    @Test(arguments: [0, 1, 13]) func `a frame without a header is a runt`(length: Int) {
        let fixture = ClassifierFixture(ports: attached(2))
        let batch = [frame(a, to: b, from: port0, length: length)]
        #expect(fixture.classify(batch) == [.drop(.runt)])
        #expect(fixture.counts(of: port0).receivedBytes == UInt64(length))
        #expect(fixture.macTable.total == 0)
    }

    @Test func `a tagged frame without its type is a runt`() {
        let fixture = ClassifierFixture(ports: attached(2))
        for length in 14..<18 {
            let batch = [frame(a, to: b, from: port0, length: length, vlan: 5)]
            #expect(fixture.classify(batch) == [.drop(.runt)])
        }
        let batch = [frame(a, to: b, from: port0, length: 18, vlan: 5)]
        #expect(fixture.classify(batch) == [.flood])
    }

    @Test func `a frame longer than the ingress port's maximum is oversize, its tag included`() {
        let fixture = ClassifierFixture(ports: attached(2, maxFrame: 100))
        let lengths = [99, 100, 101]
        let untagged = lengths.map { frame(a, to: b, from: port0, length: $0) }
        #expect(fixture.classify(untagged) == [.flood, .flood, .drop(.oversize)])
        for vlan in [0, 5] as [UInt16] {
            let tagged = lengths.map { frame(a, to: b, from: port0, length: $0, vlan: vlan) }
            #expect(fixture.classify(tagged) == [.flood, .flood, .drop(.oversize)])
        }
    }

    @Test func `an oversize frame teaches nothing`() {
        let fixture = ClassifierFixture(ports: attached(2, maxFrame: 100))
        _ = fixture.classify([frame(a, to: b, from: port0, length: 101)])
        #expect(fixture.macTable.total == 0)
    }

    @Test func `a frame longer than the egress port's maximum is too big, charged there`() {
        var ports = attached(2)
        ports[1].maxFrame = 100
        let fixture = ClassifierFixture(ports: ports)
        _ = fixture.classify([frame(b, to: a, from: port1)])
        let untagged = [100, 101, 100].map { frame(a, to: b, from: port0, length: $0) }
        let tooBig = Verdict.drop(.tooBig, egress: port1)
        let sent = Verdict.unicast(to: port1)
        #expect(fixture.classify(untagged) == [sent, tooBig, sent])
        #expect(fixture.counts(of: port1).drops == [.tooBig: 1])
        #expect(fixture.counts(of: port0).drops.isEmpty)
        _ = fixture.classify([frame(b, to: a, from: port1, vlan: 9)])
        let tagged = [100, 101, 100].map { frame(a, to: b, from: port0, length: $0, vlan: 9) }
        #expect(fixture.classify(tagged) == [sent, tooBig, sent])
    }

    @Test func `the length for another worker's port is left to that worker`() {
        var ports = attached(2)
        ports[1].maxFrame = 100
        ports[1].worker = 1
        let fixture = ClassifierFixture(ports: ports)
        _ = fixture.classify([frame(b, to: a, from: port1)])
        let batch = [frame(a, to: b, from: port0, length: 1000)]
        #expect(fixture.classify(batch) == [.unicast(to: port1)])
    }

    @Test func `group and zero sources are invalid, again and again`() {
        let fixture = ClassifierFixture(ports: attached(2))
        let zero = MACAddress(rawValue: 0)
        let batch = [
            frame(zero, to: zero, from: port0), frame(zero, to: zero, from: port0),
            frame(.broadcast, to: b, from: port0), frame(.broadcast, to: b, from: port0),
        ]
        #expect(fixture.classify(batch) == Array(repeating: .drop(.invalidSource), count: 4))
        #expect(fixture.counts(of: port0).drops == [.invalidSource: 4])
        #expect(fixture.macTable.total == 0)
    }

    @Test func `reserved addresses are not relayed, but their sender is learned`() {
        let fixture = ClassifierFixture(ports: attached(2))
        let reserved = MACAddress(rawValue: 0x0180_C200_000E)
        let batch = Array(repeating: frame(a, to: reserved, from: port0), count: 2)
        #expect(fixture.classify(batch) == Array(repeating: .drop(.reservedAddress), count: 2))
        #expect(fixture.macTable.lookup(destination: a, vlan: 0, now: 0) == port0)
    }

    @Test func `frames of a port that is not attached teach nothing and go nowhere`() {
        var ports = attached(3)
        ports[1].isAttached = false
        let fixture = ClassifierFixture(ports: ports)
        let batch = [
            frame(a, to: .broadcast, from: port0), frame(b, to: a, from: port1),
            frame(b, to: a, from: port1, length: 3), frame(a, to: b, from: port0),
        ]
        #expect(
            fixture.classify(batch)
                == [.flood, .drop(.portRemoved), .drop(.portRemoved), .flood])
        #expect(fixture.counts(of: port1).drops == [.portRemoved: 2])
        #expect(fixture.macTable.total == 1)
    }

    @Test func `a station behind a port that is not attached counts as unknown`() {
        let fixture = ClassifierFixture(ports: attached(3))
        _ = fixture.classify([frame(b, to: a, from: port1)])
        fixture.ports[1].isAttached = false
        fixture.publish()
        #expect(fixture.classify([frame(a, to: b, from: port0)]) == [.flood])
        // So does one behind a port that the table does not have any more.
        fixture.ports.removeLast(2)
        fixture.publish()
        #expect(fixture.classify([frame(a, to: b, from: port0)]) == [.drop(.noEligiblePort)])
    }

    @Test func `VLANs have stations of their own, and priority tags belong to none`() {
        let fixture = ClassifierFixture(ports: attached(3))
        _ = fixture.classify([
            frame(b, to: a, from: port1), frame(b, to: a, from: port2, vlan: 7),
        ])
        let batch = [
            frame(a, to: b, from: port0), frame(a, to: b, from: port0, vlan: 7),
            frame(a, to: b, from: port0, vlan: 8), frame(a, to: b, from: port0, vlan: 0),
        ]
        let verdicts: [Verdict] = [
            .unicast(to: port1), .unicast(to: port2), .flood, .unicast(to: port1),
        ]
        #expect(fixture.classify(batch) == verdicts)
    }

    @Test func `trains of frames get the verdicts that single frames get`() {
        let fixture = ClassifierFixture(ports: attached(3, maxFrame: 100))
        _ = fixture.classify([frame(b, to: a, from: port1)])
        let ab = frame(a, to: b, from: port0)
        let runt = frame(a, to: b, from: port0, length: 13)
        let long = frame(a, to: b, from: port0, length: 101)
        let other = frame(station(9), to: b, from: port2)
        let unicast = Verdict.unicast(to: port1)
        let batch = [ab, ab, runt, ab, long, ab, other, ab, ab]
        let verdicts: [Verdict] = [
            unicast, unicast, .drop(.runt), unicast, .drop(.oversize), unicast, unicast, unicast,
            unicast,
        ]
        #expect(fixture.classify(batch) == verdicts)
        #expect(fixture.counts(of: port0).receivedFrames == 8)
        #expect(fixture.counts(of: port0).receivedBytes == 6 * 60 + 13 + 101)
    }

    @Test func `refused moves and full tables are counted at the ingress port`() {
        let fixture = ClassifierFixture(ports: attached(3), limit: 4)
        _ = fixture.classify([frame(a, to: b, from: port0)], now: 5)
        let moved = frame(a, to: b, from: port1)
        _ = fixture.classify([moved], now: 5)
        #expect(fixture.counters.snapshot(port: port1)[.macMovesDamped] == 1)
        for number in 10..<13 {
            _ = fixture.classify([frame(station(number), to: b, from: port2)], now: 5)
        }
        #expect(fixture.counters.snapshot(port: port2)[.macTableFull] == 1)
        #expect(fixture.macTable.count(of: port2) == 2)
    }
}
