public import SwitchCore

/// A switch as one would explain it: dictionaries, arrays, one frame after the other. The real
/// classifier must give the same verdicts and the same counts.
///
/// It has no limits of room, so compare it with a MAC table that is large for the number of
/// stations.
public struct ReferenceSwitch {
    private struct Station: Hashable {
        var address: MACAddress
        var vlan: UInt16
    }

    private struct Sighting {
        var port: PortID
        var tick: UInt32
        var isPinned: Bool
    }

    private struct Header {
        var destination: MACAddress
        var source: MACAddress
        var vlan: UInt16
    }

    /// What a port has counted.
    public struct Counts: Equatable, Sendable {
        /// As `Counter.receivedFrames`.
        public var receivedFrames: UInt64 = 0
        /// As `Counter.receivedBytes`.
        public var receivedBytes: UInt64 = 0
        /// As `Counter.floodCopies`.
        public var floodCopies: UInt64 = 0
        /// By reason; none is zero.
        public var drops: [DropReason: UInt64] = [:]

        /// Nothing counted.
        public init() {}
    }

    /// The ports; change them as the connection table is changed.
    public var ports: [PortEntry]
    /// Counted so far, by port.
    public private(set) var counts: [Counts]
    private let ageingTicks: Int
    /// What each port has flooded to unknown addresses and to groups: when, and how long the next
    /// has to wait for it.
    private var floods: [[(time: UInt64, wait: UInt64)]]
    private var stations: [Station: Sighting] = [:]

    /// Makes a switch that knows no station.
    public init(ports: [PortEntry], ageingTicks: UInt32) {
        self.ports = ports
        self.ageingTicks = Int(ageingTicks)
        counts = Array(repeating: Counts(), count: ports.count)
        floods = Array(repeating: [], count: 2 * ports.count)
    }

    /// The ports to which a flood from `ingress` goes.
    public func floodTargets(from ingress: PortID) -> Set<PortID> {
        var targets: Set<PortID> = []
        for (index, entry) in ports.enumerated()
        where index != ingress.index && entry.isAttached && entry.floodEligible {
            targets.insert(PortID(index: index))
        }
        return targets
    }

    /// Forgets the stations behind `port`.
    public mutating func flush(port: PortID) {
        stations = stations.filter { $0.value.port != port || $0.value.isPinned }
    }

    /// Forgets the stations that have aged.
    public mutating func sweep(now: UInt32) {
        stations = stations.filter { isAlive($0.value, now: now) }
    }

    /// Binds a station to a port.
    public mutating func pin(_ address: MACAddress, vlan: UInt16, port: PortID) {
        stations[Station(address: address, vlan: vlan)] = Sighting(
            port: port, tick: 0, isPinned: true)
    }

    /// Releases a pinned station.
    /// - Returns: false if it was not pinned.
    public mutating func unpin(_ address: MACAddress, vlan: UInt16) -> Bool {
        let station = Station(address: address, vlan: vlan)
        guard stations[station]?.isPinned == true else { return false }
        stations[station] = nil
        return true
    }

    /// The stations known at `now`.
    public func knownCount(now: UInt32) -> Int {
        stations.values.filter { isAlive($0, now: now) }.count
    }

    /// Classifies a batch: learns from every frame, then decides for every frame.
    public mutating func classify(
        _ batch: [FrameBatch.Item], now: UInt32, nanoseconds: UInt64 = 0
    ) -> [Verdict] {
        let early = batch.map { admit($0, now: now) }
        let time = UInt64(now) * 1_000_000_000 + nanoseconds
        return zip(batch, early).map { item, drop in
            var verdict = drop ?? decide(item, now: now)
            if verdict == .flood, !mayFlood(item, time: time) { verdict = .drop(.stormLimited) }
            account(verdict, for: item)
            return verdict
        }
    }

    private mutating func admit(_ item: FrameBatch.Item, now: UInt32) -> Verdict? {
        let port = ports[item.ingress.index]
        if !port.isAttached { return .drop(.portRemoved) }
        guard let header = parse(item.bytes) else { return .drop(.runt) }
        if item.bytes.count > Int(port.maxFrame) { return .drop(.oversize) }
        if header.source.isGroup || header.source.isZero { return .drop(.invalidSource) }
        learn(header, from: item.ingress, now: now)
        return header.destination.isReserved ? .drop(.reservedAddress) : nil
    }

    private mutating func learn(_ header: Header, from ingress: PortID, now: UInt32) {
        let station = Station(address: header.source, vlan: header.vlan)
        if let known = stations[station], isAlive(known, now: now) {
            if known.isPinned || Int(now) - Int(known.tick) <= 0 { return }
        }
        stations[station] = Sighting(port: ingress, tick: now, isPinned: false)
    }

    private func decide(_ item: FrameBatch.Item, now: UInt32) -> Verdict {
        guard let header = parse(item.bytes) else { return .drop(.runt) }
        let station = Station(address: header.destination, vlan: header.vlan)
        if !header.destination.isGroup, let known = stations[station], isAlive(known, now: now) {
            if known.port == item.ingress { return .drop(.filtered) }
            let egress = ports[known.port.index]
            if egress.isAttached {
                let limit = Int(egress.maxFrame)
                let isOwn = egress.worker == ports[item.ingress.index].worker
                if isOwn && item.bytes.count > limit {
                    return .drop(.tooBig, egress: known.port)
                }
                return .unicast(to: known.port)
            }
        }
        return floodTargets(from: item.ingress).isEmpty ? .drop(.noEligiblePort) : .flood
    }

    /// A line of frames that leave one after the other: who would stand there for more than the
    /// tolerance is refused.
    private mutating func mayFlood(_ item: FrameBatch.Item, time: UInt64) -> Bool {
        let interval = UInt64(ports[item.ingress.index].floodRate.interval)
        guard interval > 0 else { return true }
        let meter = 2 * item.ingress.index + Int(item.bytes[0] & 1)
        var end: UInt64 = 0
        for flood in floods[meter] { end = max(end, flood.time) + flood.wait }
        guard end <= time + 100_000_000 else { return false }
        floods[meter].append((time, UInt64((item.bytes.count + 2047) / 2048) * interval))
        return true
    }

    private mutating func account(_ verdict: Verdict, for item: FrameBatch.Item) {
        let ingress = item.ingress.index
        counts[ingress].receivedFrames += 1
        counts[ingress].receivedBytes += UInt64(item.bytes.count)
        switch verdict.kind {
        case .unicast: break
        case .flood:
            counts[ingress].floodCopies += UInt64(floodTargets(from: item.ingress).count - 1)
        case .drop:
            guard let reason = verdict.reason else { return }
            let port = reason == .tooBig ? verdict.egress.index : ingress
            counts[port].drops[reason, default: 0] += 1
        }
    }

    private func isAlive(_ sighting: Sighting, now: UInt32) -> Bool {
        sighting.isPinned || Int(now) - Int(sighting.tick) <= ageingTicks
    }

    private func parse(_ bytes: [UInt8]) -> Header? {
        guard bytes.count >= 14 else { return nil }
        func number(_ range: Range<Int>) -> UInt64 {
            bytes[range].reduce(0) { $0 << 8 | UInt64($1) }
        }
        var header = Header(
            destination: MACAddress(rawValue: number(0..<6)),
            source: MACAddress(rawValue: number(6..<12)), vlan: 0)
        if [0x8100, 0x88A8].contains(number(12..<14)) {
            guard bytes.count >= 18 else { return nil }
            header.vlan = UInt16(number(14..<16) & 0x0FFF)
        }
        return header
    }
}
