// What happens to a switch, for those who follow it (`ringswitch events`): one line of JSON an
// event, with `time`, `type` and the fields that the type has. Types of gvproxy's notifications
// keep their name where they mean the same: `ready`, `connection_established`,
// `connection_closed`.

internal import Glibc

/// One thing that happened to a switch.
public struct SwitchEvent: Codable, Sendable, Equatable {
    /// What can happen.
    public enum Kind: String, Codable, CaseIterable, Sendable {
        case ready
        case stopping
        case handedOver = "handed_over"
        case configurationReloaded = "configuration_reloaded"
        case portAdded = "port_added"
        case portChanged = "port_changed"
        case portRemoved = "port_removed"
        case portFailed = "port_failed"
        case portRestored = "port_restored"
        case portCongested = "port_congested"
        case portRecovered = "port_recovered"
        case portStorms = "port_storms"
        case connectionEstablished = "connection_established"
        case connectionClosed = "connection_closed"
        case connectionRefused = "connection_refused"
        case macLearned = "mac_learned"
        case macMoved = "mac_moved"
        case macMovesDamped = "mac_moves_damped"
        case eventsLost = "events_lost"
    }

    /// Moment by the wall clock, UTC with milliseconds.
    public var time: String
    /// What happened.
    public var type: Kind
    /// Name of the switch.
    public var name: String?
    /// Version of the program that runs the switch.
    public var version: String?
    /// Process id of the switch.
    public var pid: Int32?
    /// Name of the port that it happened to.
    public var port: String?
    /// Who is, was, or wanted to be attached.
    public var peer: PeerStatus?
    /// Why, as a sentence for people.
    public var reason: String?
    /// Hardware address in the usual notation.
    public var mac: String?
    /// VLAN of the address; 0 for untagged frames.
    public var vlan: Int?
    /// Name of the port that the address was behind before; absent where the port is gone.
    public var from: String?
    /// Names of the keys that changed.
    public var keys: [String]?
    /// Whether the port was closed and opened again, which costs it its peer.
    public var replaced: Bool?
    /// How many ports are new.
    public var added: Int?
    /// How many ports have changed.
    public var changed: Int?
    /// How many ports are gone.
    public var removed: Int?
    /// Keys whose new value waits for a restart.
    public var needsRestart: [String]?
    /// Frames that wait to leave by the port.
    public var queuedFrames: UInt64?
    /// Bytes that wait to leave by the port.
    public var queuedBytes: UInt64?
    /// Frames that the queue has dropped since the last look, by the name of the reason.
    public var drops: [String: UInt64]?
    /// How many there were.
    public var count: UInt64?

    private init(_ type: Kind, port: String? = nil) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        time = LineLogHandler.timestamp(now)
        self.type = type
        self.port = port
    }
}

extension SwitchEvent.Kind {
    /// What it means, for the README.
    public var summary: String {
        switch self {
        case .ready: "The switch forwards; every stream begins with it."
        case .stopping: "The switch ends, and the stream with it."
        case .handedOver:
            "Another process goes on in place of this one, and this stream ends; follow again."
        case .configurationReloaded: "The configuration was read again and applied."
        case .portAdded: "A port is new."
        case .portChanged: "A port has other settings."
        case .portRemoved: "A port is gone."
        case .portFailed: "A port is out of use; it is tried again every two seconds."
        case .portRestored: "A port that had failed works again."
        case .portCongested:
            "Frames wait for the peer for two seconds or longer, or were dropped because it is "
                + "slow."
        case .portRecovered: "Nothing waits any more, and nothing was dropped for two seconds."
        case .portStorms:
            "So many frames of the port's peer were dropped since the last look: it had more "
                + "to flood than its `flood_rate` allows."
        case .connectionEstablished: "A peer was attached to a port."
        case .connectionClosed: "A peer was detached from its port."
        case .connectionRefused: "A peer was not attached."
        case .macLearned: "An address was seen for the first time, or again after it had aged."
        case .macMoved: "An address is behind another port now."
        case .macMovesDamped:
            "Frames with an address that belongs to another port came too soon after each other "
                + "for it to move."
        case .eventsLost:
            "So many events before the next line were not told: the reader was too slow, or more "
                + "than 256 addresses were new at once."
        }
    }

    /// The fields that events of the type can have beside `time` and `type`.
    public var fields: [String] {
        switch self {
        case .ready: ["name", "version", "pid"]
        case .stopping, .handedOver: ["name", "pid"]
        case .configurationReloaded: ["added", "changed", "removed", "needs_restart"]
        case .portAdded, .portRemoved, .portRestored, .portRecovered: ["port"]
        case .portChanged: ["port", "keys", "replaced"]
        case .portFailed: ["port", "reason"]
        case .portCongested: ["port", "queued_frames", "queued_bytes", "drops"]
        case .connectionEstablished: ["port", "peer"]
        case .connectionClosed, .connectionRefused: ["port", "peer", "reason"]
        case .macLearned: ["mac", "vlan", "port"]
        case .macMoved: ["mac", "vlan", "port", "from"]
        case .macMovesDamped, .portStorms: ["port", "count"]
        case .eventsLost: ["count"]
        }
    }
}

// MARK: One function a type, so that each has its fields

extension SwitchEvent {
    static func ready(name: String) -> SwitchEvent {
        var event = SwitchEvent(.ready)
        (event.name, event.version, event.pid) = (name, Version.current, getpid())
        return event
    }

    static func stopping(name: String) -> SwitchEvent {
        var event = SwitchEvent(.stopping)
        (event.name, event.pid) = (name, getpid())
        return event
    }

    static func handedOver(name: String) -> SwitchEvent {
        var event = SwitchEvent(.handedOver)
        (event.name, event.pid) = (name, getpid())
        return event
    }

    static func reloaded(_ report: ReloadReport) -> SwitchEvent {
        var event = SwitchEvent(.configurationReloaded)
        (event.added, event.removed) = (report.added.count, report.removed.count)
        event.changed = report.replaced.count + report.changed.count
        event.needsRestart = report.needsRestart
        return event
    }

    static func portAdded(_ port: String) -> SwitchEvent { SwitchEvent(.portAdded, port: port) }

    static func portRemoved(_ port: String) -> SwitchEvent {
        SwitchEvent(.portRemoved, port: port)
    }

    static func portChanged(_ port: String, keys: [String], replaced: Bool) -> SwitchEvent {
        var event = SwitchEvent(.portChanged, port: port)
        (event.keys, event.replaced) = (keys, replaced)
        return event
    }

    static func portFailed(_ port: String, reason: String) -> SwitchEvent {
        var event = SwitchEvent(.portFailed, port: port)
        event.reason = reason
        return event
    }

    static func portRestored(_ port: String) -> SwitchEvent {
        SwitchEvent(.portRestored, port: port)
    }

    static func portCongested(
        _ port: String, queue: (frames: UInt64, bytes: UInt64), drops: [String: UInt64]
    ) -> SwitchEvent {
        var event = SwitchEvent(.portCongested, port: port)
        (event.queuedFrames, event.queuedBytes, event.drops) = (queue.frames, queue.bytes, drops)
        return event
    }

    static func portRecovered(_ port: String) -> SwitchEvent {
        SwitchEvent(.portRecovered, port: port)
    }

    static func connectionEstablished(_ port: String, _ peer: PeerStatus) -> SwitchEvent {
        var event = SwitchEvent(.connectionEstablished, port: port)
        event.peer = peer
        return event
    }

    static func connectionClosed(
        _ port: String, _ peer: PeerStatus, reason: String
    ) -> SwitchEvent {
        var event = SwitchEvent(.connectionClosed, port: port)
        (event.peer, event.reason) = (peer, reason)
        return event
    }

    static func connectionRefused(
        _ port: String, _ peer: PeerStatus?, reason: String
    ) -> SwitchEvent {
        var event = SwitchEvent(.connectionRefused, port: port)
        (event.peer, event.reason) = (peer, reason)
        return event
    }

    static func macLearned(_ mac: String, vlan: Int, port: String) -> SwitchEvent {
        var event = SwitchEvent(.macLearned, port: port)
        (event.mac, event.vlan) = (mac, vlan)
        return event
    }

    static func macMoved(_ mac: String, vlan: Int, port: String, from: String?) -> SwitchEvent {
        var event = SwitchEvent(.macMoved, port: port)
        (event.mac, event.vlan, event.from) = (mac, vlan, from)
        return event
    }

    static func macMovesDamped(_ port: String, count: UInt64) -> SwitchEvent {
        var event = SwitchEvent(.macMovesDamped, port: port)
        event.count = count
        return event
    }

    static func portStorms(_ port: String, count: UInt64) -> SwitchEvent {
        var event = SwitchEvent(.portStorms, port: port)
        event.count = count
        return event
    }

    static func eventsLost(_ count: UInt64) -> SwitchEvent {
        var event = SwitchEvent(.eventsLost)
        event.count = count
        return event
    }
}
