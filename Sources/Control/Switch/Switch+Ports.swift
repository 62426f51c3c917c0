// Ports that come, change and go while the switch runs, without a file. They take the way of a
// reload: checked alike, applied all or nothing, and other ports lose no frame.

extension Switch {
    /// See `SwitchInterface`.
    public func addPort(_ edit: PortEdit) async throws(ControlError) -> ReloadReport {
        try await change(edit.name) { configuration throws(ConfigurationErrors) in
            try configuration.adding(edit)
        }
    }

    /// See `SwitchInterface`.
    public func setPort(_ edit: PortEdit) async throws(ControlError) -> ReloadReport {
        try await change(edit.name) { configuration throws(ConfigurationErrors) in
            try configuration.setting(edit)
        }
    }

    /// See `SwitchInterface`.
    public func removePort(_ name: String) async throws(ControlError) -> ReloadReport {
        let report = try await change(name) { configuration in
            var next = configuration
            next.ports.removeAll { $0.name == name }
            return next.ports.count == configuration.ports.count ? nil : next
        }
        transientPorts.remove(name)
        return report
    }

    /// See `SwitchInterface`.
    public func runningConfiguration() async -> String {
        var lasting = configuration
        lasting.ports.removeAll { transientPorts.contains($0.name) }
        return lasting.essentials()
    }

    /// Waits for its turn, and goes over to what `body` makes of the configuration.
    func change(
        _ name: String, mayEmpty: Bool = false,
        _ body: (Configuration) throws(ConfigurationErrors) -> Configuration?
    ) async throws(ControlError) -> ReloadReport {
        while let end = reloadEnd { await end.wait() }
        try beginChange()
        defer { endChange() }
        let next: Configuration?
        do throws(ConfigurationErrors) {
            next = try body(configuration)
        } catch {
            throw ControlError(.invalidConfiguration, error.errors.map(\.description))
        }
        guard let next else {
            throw ControlError(.notFound, "there is no port \(TOMLText.quoted(name, limit: 60))")
        }
        guard mayEmpty || !next.ports.isEmpty else {
            throw ControlError(.conflict, "this is the last port; a switch has at least one")
        }
        return try await become(next)
    }
}
