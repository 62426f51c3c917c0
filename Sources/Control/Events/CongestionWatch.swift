// Which ports are congested, found by looking at their counters about every two seconds.
//
// A port is congested when its queue dropped frames since the last look because the peer is slow,
// or when frames wait at two looks in a row. It has recovered when a look finds neither. Drops by
// `codel` are no sign: that is how a queue stays short.

internal import SwitchCore

/// Finds ports that begin or cease to be congested, ports that storm, and addresses that want to
/// move too often.
struct CongestionWatch {
    /// Reasons that say that a peer takes frames too slowly.
    private static let reasons: [DropReason] = [.queueFull, .queueExpired, .floodLimited]

    /// What a look needs of a port.
    struct Subject {
        let name: String
        let id: PortID
        let counters: CounterSnapshot
    }

    private struct Memory {
        let name: String
        var counters: CounterSnapshot
        var isCongested = false
    }

    private var memories: [PortID: Memory] = [:]

    /// Looks at all ports; the first look at a port only remembers it.
    mutating func look(_ ports: [Subject]) -> [SwitchEvent] {
        var events: [SwitchEvent] = []
        var seen: [PortID: Memory] = [:]
        for port in ports {
            // An index that another port has now tells nothing of this one.
            var memory =
                memories[port.id].flatMap { $0.name == port.name ? $0 : nil }
                ?? Memory(name: port.name, counters: port.counters)
            events += Self.compare(port, &memory)
            memory.counters = port.counters
            seen[port.id] = memory
        }
        memories = seen
        return events
    }

    private static func compare(_ port: Subject, _ memory: inout Memory) -> [SwitchEvent] {
        let (now, before) = (port.counters, memory.counters)
        var events: [SwitchEvent] = []
        let damped = now[.macMovesDamped] &- before[.macMovesDamped]
        if damped > 0 { events.append(.macMovesDamped(port.name, count: damped)) }
        let stormed = now[dropped: .stormLimited] &- before[dropped: .stormLimited]
        if stormed > 0 { events.append(.portStorms(port.name, count: stormed)) }
        var drops: [String: UInt64] = [:]
        for reason in reasons where now[dropped: reason] != before[dropped: reason] {
            drops[reason.name] = now[dropped: reason] &- before[dropped: reason]
        }
        let waits = now[.queuedFrames] > 0
        if !memory.isCongested, !drops.isEmpty || waits && before[.queuedFrames] > 0 {
            memory.isCongested = true
            events.append(
                .portCongested(
                    port.name, queue: (now[.queuedFrames], now[.queuedBytes]), drops: drops))
        } else if memory.isCongested, drops.isEmpty, !waits {
            memory.isCongested = false
            events.append(.portRecovered(port.name))
        }
        return events
    }
}
