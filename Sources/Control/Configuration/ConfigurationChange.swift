/// What a reload has to do to get from one configuration to another.
///
/// Ports are matched by name, whatever their order. A port whose changed keys can all change live
/// is adapted, any other changed port is replaced as a whole. Where `restartKeys` is not empty, the
/// new configuration as a whole cannot be reached by a running switch: a changed `runtime_dir`, for
/// one, moves every relative path.
public struct ConfigurationChange: Equatable, Sendable {
    /// A port that is in both, with other values.
    public struct PortChange: Equatable, Sendable {
        /// The port as it is.
        public let old: PortConfiguration
        /// The port as it is to be.
        public let new: PortConfiguration
        /// Names of the keys that changed, in the order of the reference.
        public let keys: [String]
    }

    /// Ports that only the new configuration has, in its order.
    public let added: [PortConfiguration]
    /// Ports that only the old configuration has, in its order.
    public let removed: [PortConfiguration]
    /// Ports that have to be closed and opened again, in the new order.
    public let replaced: [PortChange]
    /// Ports that change while they are open, in the new order.
    public let adapted: [PortChange]
    /// Ports that are equal in both, in the new order.
    public let unchanged: [PortConfiguration]
    /// Changed keys of `[switch]` that a running switch can take over.
    public let reloadedKeys: [String]
    /// Changed keys of `[switch]` that only a restart can change.
    public let restartKeys: [String]

    /// Whether the configurations are the same but for the order of ports.
    public var isEmpty: Bool {
        added.isEmpty && removed.isEmpty && replaced.isEmpty && adapted.isEmpty
            && reloadedKeys.isEmpty
            && restartKeys.isEmpty
    }

    /// Compares two configurations.
    public init(from old: Configuration, to new: Configuration) {
        let oldPorts = Dictionary(uniqueKeysWithValues: old.ports.map { ($0.name, $0) })
        let newNames = Set(new.ports.map(\.name))
        added = new.ports.filter { oldPorts[$0.name] == nil }
        removed = old.ports.filter { !newNames.contains($0.name) }
        unchanged = new.ports.filter { oldPorts[$0.name] == $0 }
        var (replaced, adapted): ([PortChange], [PortChange]) = ([], [])
        for port in new.ports {
            guard let old = oldPorts[port.name], old != port else { continue }
            let keys = Self.changedKeys(
                ConfigurationSchema.portKeys, PortSettings(old), PortSettings(port))
            let change = PortChange(old: old, new: port, keys: keys.map(\.name))
            if keys.allSatisfy({ $0.effect == .live }) {
                adapted.append(change)
            } else {
                replaced.append(change)
            }
        }
        (self.replaced, self.adapted) = (replaced, adapted)
        let keys = Self.changedKeys(
            ConfigurationSchema.switchKeys, SwitchSettings(old), SwitchSettings(new))
        reloadedKeys = keys.filter { $0.effect == .reload }.map(\.name)
        restartKeys = keys.filter { $0.effect == .restart }.map(\.name)
    }

    private static func changedKeys<Settings>(
        _ keys: [ConfigurationKey<Settings>], _ old: Settings, _ new: Settings
    ) -> [ConfigurationKey<Settings>] {
        keys.filter { $0.literal(old) != $0.literal(new) }
    }
}
