public import SwitchCore

/// A real switch core to classify with: published table, MAC table and counters.
public final class ClassifierFixture {
    /// The ports; `publish()` makes changes effective.
    public var ports: [PortEntry]
    /// The real MAC table.
    public let macTable: MACTable
    /// The real counters.
    public let counters: CounterTable
    private let floodMeters: FloodMeters
    private let published: Published<ConnectionTable>
    private var version: UInt64 = 1

    /// Makes a switch with these ports.
    public init(
        ports: [PortEntry], limit: Int = 4096, ageingTicks: UInt32 = 300, seed: UInt64 = 1
    ) {
        self.ports = ports
        macTable = MACTable(
            limit: limit, portCapacity: ports.count, ageingTicks: ageingTicks, seed: seed)
        floodMeters = FloodMeters(portCapacity: ports.count)
        counters = CounterTable(portCapacity: ports.count, workerCount: 1)
        published = Published(ConnectionTable(version: version, entries: ports))
    }

    deinit {
        published.deallocate()
        macTable.deallocate()
        floodMeters.deallocate()
        counters.deallocate()
    }

    /// Publishes `ports`. There is no concurrent reader, so the old table goes at once.
    public func publish() {
        version += 1
        published.publish(ConnectionTable(version: version, entries: ports)).reclaim()
    }

    /// Classifies one batch, so many seconds and nanoseconds after the start of the clock.
    public func classify(
        _ items: [FrameBatch.Item], now: UInt32 = 0, nanoseconds: UInt64 = 0
    ) -> [Verdict] {
        FrameBatch(items).classified(
            table: published.read(), macTable: macTable, floodMeters: floodMeters,
            now: UInt64(now) * 1_000_000_000 + nanoseconds, counters: counters)
    }

    /// Where floods from `ingress` go.
    public func floodTargets(from ingress: PortID) -> Set<PortID> {
        Set(published.read().pointee.floodList(from: ingress))
    }

    /// What `port` has counted, in the reference switch's form.
    public func counts(of port: PortID) -> ReferenceSwitch.Counts {
        let snapshot = counters.snapshot(port: port)
        var counts = ReferenceSwitch.Counts()
        counts.receivedFrames = snapshot[.receivedFrames]
        counts.receivedBytes = snapshot[.receivedBytes]
        counts.floodCopies = snapshot[.floodCopies]
        for reason in DropReason.allCases where snapshot[dropped: reason] > 0 {
            counts.drops[reason] = snapshot[dropped: reason]
        }
        return counts
    }
}
