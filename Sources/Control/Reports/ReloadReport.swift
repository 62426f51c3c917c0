/// What a reload changed.
public struct ReloadReport: Codable, Sendable, Equatable {
    /// Names of ports that are new.
    public var added: [String]
    /// Names of ports that are gone.
    public var removed: [String]
    /// Names of ports that were taken down and set up again because a key changed.
    public var replaced: [String]
    /// Names of ports that took new settings and kept their peer.
    public var changed: [String]
    /// Names of ports that are as they were.
    public var unchanged: [String]
    /// Keys of the switch itself that took their new value, such as `switch.mac_ageing`.
    public var changedKeys: [String]
    /// Keys whose new value waits for a restart, such as `switch.workers`.
    public var needsRestart: [String]

    /// A report of these names; what is left out did not occur.
    public init(
        added: [String] = [], removed: [String] = [], replaced: [String] = [],
        changed: [String] = [], unchanged: [String] = [], changedKeys: [String] = [],
        needsRestart: [String] = []
    ) {
        self.added = added
        self.removed = removed
        self.replaced = replaced
        self.changed = changed
        self.unchanged = unchanged
        self.changedKeys = changedKeys
        self.needsRestart = needsRestart
    }

    /// What a change of the configuration did.
    init(_ change: ConfigurationChange, needsRestart: [String]) {
        self.init(
            added: change.added.map(\.name), removed: change.removed.map(\.name),
            replaced: change.replaced.map(\.new.name), changed: change.adapted.map(\.new.name),
            unchanged: change.unchanged.map(\.name), needsRestart: needsRestart)
    }

    /// Whether anything is different from before.
    public var hasChanges: Bool {
        !(added.isEmpty && removed.isEmpty && replaced.isEmpty && changed.isEmpty
            && changedKeys.isEmpty)
    }

    /// The report in lines for people, without a line break at their ends.
    public var lines: [String] {
        var lines: [String] = []
        for (what, names) in [
            ("added", added), ("removed", removed), ("replaced", replaced),
            ("changed", changed + changedKeys),
        ] where !names.isEmpty {
            lines.append("\(what): " + names.map(\.terminalSafe).joined(separator: ", "))
        }
        if !hasChanges { lines.append("nothing changed") }
        lines.append("untouched: \(unchanged.count) port\(unchanged.count == 1 ? "" : "s")")
        if !needsRestart.isEmpty {
            let keys = needsRestart.map(\.terminalSafe).joined(separator: ", ")
            lines.append("not applied, needs a restart of the switch: \(keys)")
        }
        return lines
    }
}

/// How many MAC table entries a flush removed.
public struct FlushReport: Codable, Sendable, Equatable {
    /// Number of entries.
    public var flushed: Int

    /// A report of `flushed` entries.
    public init(flushed: Int) {
        self.flushed = flushed
    }
}
