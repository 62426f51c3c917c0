// What the switch tells those who follow it, beside what ports and reloads tell themselves.
//
// Addresses and congestion are found by looking, once a second and only while somebody follows:
// the path of a frame does nothing for them.

internal import Dataplane
internal import SwitchCore

extension Switch {
    private static let macKinds: [SwitchEvent.Kind] = [.macLearned, .macMoved]
    private static let trafficKinds: [SwitchEvent.Kind] = [
        .portCongested, .portRecovered, .portStorms, .macMovesDamped,
    ]
    /// How long the end of the switch waits for readers to take their last lines.
    private static let farewellPatience = Duration.milliseconds(500)

    /// See `SwitchInterface`.
    public func events(
        of kinds: Set<SwitchEvent.Kind>
    ) async throws(ControlError) -> EventReader {
        let reader = try events.open(kinds, first: .ready(name: configuration.name))
        // What is known before the stream begins is not new in it.
        if macWatch == nil, events.isFollowed(Self.macKinds) {
            macWatch = MACWatch(dataPlane.macTable, now: tick)
        }
        return reader
    }

    /// Tells that the switch ends, and ends every stream.
    public func announceEnd() async {
        service?.notify(.stopping)
        events.publish(.stopping(name: configuration.name))
        events.finish()
        let deadline = ContinuousClock.now + Self.farewellPatience
        while events.hasReaders, ContinuousClock.now < deadline {
            try? await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Tells what a look at the MAC table and the counters shows.
    func lookForEvents() {
        if events.isFollowed(Self.macKinds) { lookForAddresses() } else { macWatch = nil }
        if events.isFollowed(Self.trafficKinds) {
            lookForCongestion()
        } else {
            congestionWatch = nil
        }
        events.beat()
    }

    private func lookForAddresses() {
        guard let (changes, omitted) = macWatch?.look(now: tick) else { return }
        let names = Dictionary(
            ports.map { ($0.id, $0.configuration.name) }, uniquingKeysWith: { first, _ in first })
        for change in changes {
            guard let port = names[change.port] else { continue }
            let (mac, vlan) = (change.address.description, Int(change.vlan))
            guard let from = change.from else {
                events.publish(.macLearned(mac, vlan: vlan, port: port))
                continue
            }
            events.publish(.macMoved(mac, vlan: vlan, port: port, from: names[from]))
        }
        if omitted > 0 { events.omit(UInt64(omitted), of: Self.macKinds) }
    }

    private func lookForCongestion() {
        var watch = congestionWatch ?? CongestionWatch()
        let subjects = ports.map { port in
            CongestionWatch.Subject(
                name: port.configuration.name, id: port.id,
                counters: dataPlane.counters.snapshot(port: port.id))
        }
        for event in watch.look(subjects) { events.publish(event) }
        congestionWatch = watch
    }
}
