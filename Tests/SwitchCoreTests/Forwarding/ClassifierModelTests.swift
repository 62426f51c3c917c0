import Support
import SwitchCore
import Testing

/// The classifier against the reference switch, with random operations: same verdicts, same flood
/// lists, same counts at every port, and every received frame accounted for.
///
/// Stations are few and the MAC table is large, so that no rule about room comes into play.
@Suite struct ClassifierModelTests {
    private static let ageingTicks: UInt32 = 5

    /// One seed's run.
    private struct Run {
        var generator: SeededGenerator
        let fixture: ClassifierFixture
        var reference: ReferenceSwitch
        var clock: UInt32
        var sent: UInt64 = 0

        init(seed: UInt64) {
            generator = SeededGenerator(seed: seed)
            let portCount = Int.random(in: 1...9, using: &generator)
            var ports: [PortEntry] = []
            for _ in 0..<portCount { ports.append(Self.randomPort(&generator)) }
            fixture = ClassifierFixture(
                ports: ports, limit: 512, ageingTicks: ageingTicks, seed: generator.next())
            reference = ReferenceSwitch(ports: ports, ageingTicks: ageingTicks)
            clock = UInt32.random(in: 10...1 << 30, using: &generator)
        }

        static func randomPort(_ generator: inout SeededGenerator) -> PortEntry {
            PortEntry(
                isAttached: Int.random(in: 0..<5, using: &generator) > 0,
                worker: UInt16.random(in: 0...1, using: &generator),
                maxFrame: [64, 100, 1518].randomElement(using: &generator)!,
                floodEligible: Int.random(in: 0..<5, using: &generator) > 0,
                floodRate: FloodRate(
                    framesPerSecond: [0, 1, 7, 100].randomElement(using: &generator)!))
        }

        mutating func randomPortID() -> PortID {
            PortID(index: Int.random(in: reference.ports.indices, using: &generator))
        }

        mutating func randomAddress() -> MACAddress {
            switch Int.random(in: 0..<40, using: &generator) {
            case 0: .broadcast
            case 1: MACAddress(rawValue: 0)
            case 2: MACAddress(rawValue: 0x3333_0000_0001)
            case 3: MACAddress(rawValue: 0x0180_C200_0000 + generator.next() % 17)
            default: station(Int.random(in: 0..<12, using: &generator))
            }
        }

        mutating func randomVLAN() -> UInt16? {
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: 0
            case 1: 5
            case 2: 4095
            default: nil
            }
        }

        mutating func randomItem() -> FrameBatch.Item {
            let lengths = [
                0, 13, 14, 17, 18, 60, 60, 60, 64, 65, 68, 69, 100, 101, 105, 1518, 1522, 1600,
            ]
            var builder = FrameBuilder(
                destination: randomAddress(), source: randomAddress(),
                length: lengths.randomElement(using: &generator)!)
            if let vlan = randomVLAN() { builder = builder.tagged(vlan: vlan) }
            if Int.random(in: 0..<8, using: &generator) == 0 { builder.tagProtocol = 0x88A8 }
            return FrameBatch.Item(builder, from: randomPortID())
        }

        /// Frames in trains, now and then of another length, as traffic has them.
        mutating func randomBatch() -> [FrameBatch.Item] {
            var batch: [FrameBatch.Item] = []
            for _ in 0..<Int.random(in: 0...12, using: &generator) {
                let item = randomItem()
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    batch.append(item)
                    let cut = Int.random(in: 0..<24, using: &generator)
                    if cut < item.bytes.count && cut > 8 {
                        batch.append(
                            FrameBatch.Item(Array(item.bytes.prefix(cut)), from: item.ingress))
                    }
                }
            }
            return batch
        }

        mutating func change() {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0:
                let port = randomPortID()
                let entry = Self.randomPort(&generator)
                reference.ports[port.index] = entry
                fixture.ports[port.index] = entry
                fixture.publish()
            case 1:
                let port = randomPortID()
                reference.flush(port: port)
                fixture.macTable.flush(port: port)
            case 2:
                let address = station(Int.random(in: 0..<12, using: &generator))
                let port = randomPortID()
                reference.pin(address, vlan: 0, port: port)
                #expect(fixture.macTable.pin(address, vlan: 0, port: port, now: clock) == .done)
            case 3:
                let address = station(Int.random(in: 0..<12, using: &generator))
                let wasPinned = reference.unpin(address, vlan: 0)
                #expect((fixture.macTable.unpin(address, vlan: 0) == .done) == wasPinned)
            case 4:
                reference.sweep(now: clock)
                _ = fixture.macTable.sweepAll(now: clock)
            case 5: clock += UInt32.random(in: 0...7, using: &generator)
            default: clock += UInt32.random(in: 0...1, using: &generator)
            }
        }
    }

    @Test(arguments: Seeds.list(200))
    func `random operations give the reference switch's verdicts and counts`(seed: UInt64) {
        var run = Run(seed: seed)
        let note: Comment = "RINGSWITCH_SEED=\(seed)"
        for _ in 0..<40 {
            run.change()
            let batch = run.randomBatch()
            // Another worker's clock may lag by a tick.
            let now = run.clock - UInt32.random(in: 0...1, using: &run.generator)
            let nanoseconds = UInt64.random(in: 0..<1_000_000_000, using: &run.generator)
            let expected = run.reference.classify(batch, now: now, nanoseconds: nanoseconds)
            let verdicts = run.fixture.classify(batch, now: now, nanoseconds: nanoseconds)
            #expect(verdicts == expected, note)
            for (item, verdict) in zip(batch, verdicts) {
                let targets = run.fixture.floodTargets(from: item.ingress)
                #expect(targets == run.reference.floodTargets(from: item.ingress), note)
                if verdict.kind == .unicast { run.sent += 1 }
                if verdict.kind == .flood { run.sent += UInt64(targets.count) }
            }
        }
        let entries = run.fixture.macTable.entries(now: run.clock)
        #expect(entries.count == run.reference.knownCount(now: run.clock), note)
        for index in run.reference.ports.indices {
            let counts = run.fixture.counts(of: PortID(index: index))
            #expect(counts == run.reference.counts[index], note)
        }
        let sum = run.fixture.counters.snapshot()
        #expect(sum[.receivedFrames] + sum[.floodCopies] == run.sent + sum.dropped, note)
    }
}
