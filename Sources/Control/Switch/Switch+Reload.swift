// Reload: read the configuration again and apply the difference, all or nothing.
//
// Ports of which only keys changed that can change live stay open. New ports are opened before old
// ones are closed, so that a failure costs nobody a frame. Where a new port needs the path or the
// device of an old one (a port that changed another key, was renamed, or swapped paths with its
// neighbour), the old one has to go first, and is opened as it was should anything fail after that.

internal import Logging
internal import SwitchCore

extension Switch: SwitchInterface {
    /// See `SwitchInterface`.
    public func reload() async throws(ControlError) -> ReloadReport {
        guard reloadEnd == nil else { throw ControlError(.conflict, "another reload is under way") }
        try beginChange()
        defer { endChange() }
        service?.notify(.reloading)
        defer { service?.notify(.ready, status: serviceStatus) }
        let file = try loadConfiguration()
        let next = reachable(file)
        var report = try await become(next)
        transientPorts.subtract(file.ports.map(\.name))
        report.needsRestart = ConfigurationChange(from: next, to: file).restartKeys
        events.publish(.reloaded(report))
        return report
    }

    /// Keeps other changes out, and the switch from ending, until `endChange`.
    func beginChange() throws(ControlError) {
        precondition(reloadEnd == nil, "one change at a time")
        guard !isClosing else { throw ControlError(.conflict, "the switch is ending") }
        reloadEnd = Gate()
    }

    func endChange() {
        reloadEnd?.open()
        reloadEnd = nil
    }

    /// Goes over to other ports, all or nothing.
    func become(_ next: Configuration) async throws(ControlError) -> ReloadReport {
        let change = ConfigurationChange(from: configuration, to: next)
        try await apply(change)
        configuration = next
        sortPorts()
        announce(change)
        return ReloadReport(change, needsRestart: [])
    }

    /// Logs and tells what became of the ports.
    private func announce(_ change: ConfigurationChange) {
        for port in change.added {
            logger.info("port added", metadata: ["port": "\(port.name)"])
            events.publish(.portAdded(port.name))
        }
        for port in change.replaced {
            logger.info("port replaced", metadata: ["port": "\(port.new.name)"])
            events.publish(.portChanged(port.new.name, keys: port.keys, replaced: true))
        }
        for port in change.adapted {
            let keys = port.keys.joined(separator: ",")
            logger.info(
                "port changed", metadata: ["port": "\(port.new.name)", "keys": "\(keys)"])
            events.publish(.portChanged(port.new.name, keys: port.keys, replaced: false))
        }
        for port in change.removed {
            logger.info("port removed", metadata: ["port": "\(port.name)"])
            events.publish(.portRemoved(port.name))
        }
    }

    private func loadConfiguration() throws(ControlError) -> Configuration {
        do throws(ConfigurationErrors) {
            return try Configuration.load(file: configurationFile, environment: .current)
        } catch {
            throw ControlError(.invalidConfiguration, error.errors.map(\.description))
        }
    }

    /// What a running switch can become: all of the file but what only a restart can change.
    private func reachable(_ file: Configuration) -> Configuration {
        var next = configuration
        let directory = file.runtimeDirectory + "/"
        // Relative paths stay where the switch lives, and ports that belong to their peers stay.
        let transient = transientConfigurations(besides: file)
        next.ports = (file.ports + transient).map { port in
            var port = port
            port.movePaths { path in
                guard path.hasPrefix(directory) else { return path }
                return next.runtimeDirectory + "/" + path.dropFirst(directory.count)
            }
            return port
        }
        return next
    }

    // MARK: All or nothing

    private func apply(_ change: ConfigurationChange) async throws(ControlError) {
        let new = change.added + change.replaced.map(\.new)
        let old = change.removed + change.replaced.map(\.old)
        let names = Set(old.map(\.name))
        let leaving = ports.filter { names.contains($0.configuration.name) }
        let held = Set(leaving.map(\.configuration.resource))
        let wanted = Set(new.map(\.resource))
        // Without an index for each new port beside the old ones, the old ones go first as well.
        let hasRoom = freeSlotCount >= new.count
        let independent = hasRoom ? new.filter { !$0.resource.isTaken(by: held) } : []
        let dependent = hasRoom ? new.filter { $0.resource.isTaken(by: held) } : new
        let inTheWay = leaving.filter {
            !hasRoom || $0.configuration.resource.isTaken(by: wanted)
        }

        try await openAll(independent, restoring: [])
        var adapted: [ConfigurationChange.PortChange] = []
        do throws(ControlError) {
            try adapt(change.adapted, &adapted)
            await close(inTheWay)
            try await openAll(dependent, restoring: inTheWay.map(\.configuration))
        } catch {
            for change in adapted { try? port(named: change.new.name)?.adapt(to: change.old) }
            await close(ports(of: independent))
            forgetHeirlooms()
            throw error
        }
        await close(leaving.filter { port in !inTheWay.contains { $0 === port } })
        forgetHeirlooms()
    }

    /// Changes open ports; `done` are those that have changed, also where one fails.
    private func adapt(
        _ changes: [ConfigurationChange.PortChange], _ done: inout [ConfigurationChange.PortChange]
    ) throws(ControlError) {
        for change in changes {
            do throws(PortError) {
                try port(named: change.new.name)?.adapt(to: change.new)
                done.append(change)
            } catch {
                throw ControlError(.conflict, "port \(change.new.name): \(error)")
            }
        }
    }

    /// Opens ports; where one fails, closes those opened before it and opens `former` again.
    private func openAll(
        _ configurations: [PortConfiguration], restoring former: [PortConfiguration]
    ) async throws(ControlError) {
        var opened: [PortConfiguration] = []
        for configuration in configurations {
            do throws(PortError) {
                try open(configuration)
                opened.append(configuration)
            } catch {
                await close(ports(of: opened))
                former.forEach(restore)
                sortPorts()
                throw ControlError(.conflict, "port \(configuration.name): \(error)")
            }
        }
    }

    private func restore(_ former: PortConfiguration) {
        do throws(PortError) {
            try open(former)
        } catch {
            // Another process was quicker. A later reload finds the port new, and tries again.
            logger.error(
                "port is lost: its former configuration could not be restored: \(error)",
                metadata: ["port": "\(former.name)"])
            configuration.ports.removeAll { $0.name == former.name }
        }
    }

    private func ports(of configurations: [PortConfiguration]) -> [any ManagedPort] {
        ports.filter { configurations.contains($0.configuration) }
    }

    /// Ports in the order of the configuration, for reports.
    private func sortPorts() {
        var order: [String: Int] = [:]
        for (position, port) in configuration.ports.enumerated() { order[port.name] = position }
        ports.sort {
            order[$0.configuration.name, default: 0] < order[$1.configuration.name, default: 0]
        }
    }

    func port(named name: String) -> (any ManagedPort)? {
        ports.first { $0.configuration.name == name }
    }
}

/// What only one port can have at a time.
private enum PortResource: Hashable {
    case path(String)
    case none(port: String)
    /// A place at a path that others have as well.
    case share(String, of: String)
    case device(String, netns: String?)
    /// What was passed to the port of that name, which its successor takes along.
    case passed(String)

    /// Whether one of these others excludes it.
    func isTaken(by others: Set<PortResource>) -> Bool {
        if others.contains(self) { return true }
        return switch self {
        case .share(let path, _): others.contains(.path(path))
        case .path(let path):
            others.contains { if case .share(path, _) = $0 { true } else { false } }
        case .none, .device, .passed: false
        }
    }
}

extension PortConfiguration {
    fileprivate var resource: PortResource {
        switch kind {
        case .unixgram(let unixgram) where unixgram.isShared: .share(unixgram.path, of: name)
        case .unixgram(let unixgram): .path(unixgram.path)
        case .stream(let stream):
            stream.connects ? .none(port: name) : .path(stream.path)
        case .tap(let tap): .device(tap.device, netns: tap.netns)
        case .passed: .passed(name)
        }
    }
}
