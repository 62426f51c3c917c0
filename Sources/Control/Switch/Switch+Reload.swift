// Reload: read the configuration again and apply the difference, all or nothing.
//
// New resources are acquired before anything is given up. A port that keeps its socket path or device while another key
// changed cannot be acquired twice: it is closed first, and opened as it was should the new one fail.

internal import Dataplane
internal import Logging
internal import SwitchCore
internal import Synchronization

extension Switch: SwitchInterface {
    public func reload() async throws(ControlError) -> ReloadReport {
        guard !isReloading else { throw ControlError(.conflict, "another reload is under way") }
        isReloading = true
        defer { isReloading = false }
        let next = try loadConfiguration()
        let change = ConfigurationChange(from: configuration, to: next)
        try await apply(change, next)
        return ReloadReport(
            added: change.added.map(\.name), removed: change.removed.map(\.name),
            replaced: change.replaced.map(\.new.name), unchanged: change.unchanged.map(\.name),
            needsRestart: change.restartKeys)
    }

    private func loadConfiguration() throws(ControlError) -> Configuration {
        do throws(ConfigurationErrors) {
            return try Configuration.load(file: configurationFile, environment: .current)
        } catch {
            throw ControlError(.invalidConfiguration, error.errors.map(\.description))
        }
    }

    private func apply(_ change: ConfigurationChange, _ next: Configuration) async throws(ControlError) {
        var opened: [any ManagedPort] = []
        do throws(PortError) {
            for configuration in change.added {
                let port = makePort(configuration)
                try port.open()
                ports.append(port)
                opened.append(port)
            }
            try await replacePorts(change.replaced.map(\.new))
        } catch {
            for port in opened { await remove(port) }
            throw ControlError(.conflict, error.description)
        }
        for configuration in change.removed {
            if let port = port(named: configuration.name) { await remove(port) }
        }
        adopt(next)
        for name in change.added.map(\.name) { logger.info("port added", metadata: ["port": "\(name)"]) }
        for name in change.replaced.map(\.new.name) { logger.info("port replaced", metadata: ["port": "\(name)"]) }
        for name in change.removed.map(\.name) { logger.info("port removed", metadata: ["port": "\(name)"]) }
        sortPorts()
    }

    /// Replaces ports one by one; when one fails, those replaced before it get their old configuration back.
    private func replacePorts(_ replaced: [PortConfiguration]) async throws(PortError) {
        var before: [PortConfiguration] = []
        for configuration in replaced {
            guard let old = port(named: configuration.name) else { continue }
            before.append(old.configuration)
            do throws(PortError) {
                try await replace(old, with: configuration)
            } catch {
                for old in before { await restore(old) }
                throw error
            }
        }
    }

    private func replace(
        _ old: any ManagedPort, with configuration: PortConfiguration
    ) async throws(PortError) {
        await remove(old)
        let port = makePort(configuration)
        try port.open()
        ports.append(port)
    }

    private func restore(_ old: PortConfiguration) async {
        if let port = port(named: old.name) { await remove(port) }
        let port = makePort(old)
        do throws(PortError) {
            try port.open()
            ports.append(port)
        } catch {
            logger.error(
                "port is lost: its former configuration could not be restored: \(error)",
                metadata: ["port": "\(old.name)"])
        }
    }

    private func remove(_ port: any ManagedPort) async {
        await port.close()
        ports.removeAll { $0 === port }
    }

    /// Takes over everything but what only a restart can change.
    private func adopt(_ next: Configuration) {
        let old = configuration
        configuration = next
        configuration.name = old.name
        configuration.workers = old.workers
        configuration.cpus = old.cpus
        configuration.runtimeDirectory = old.runtimeDirectory
        configuration.macLimit = old.macLimit
        configuration.macAgeing = old.macAgeing
    }

    /// Ports in the order of the configuration, for reports.
    private func sortPorts() {
        var order: [String: Int] = [:]
        for (position, port) in configuration.ports.enumerated() { order[port.name] = position }
        ports.sort { order[$0.configuration.name, default: 0] < order[$1.configuration.name, default: 0] }
    }

    func port(named name: String) -> (any ManagedPort)? {
        ports.first { $0.configuration.name == name }
    }
}
