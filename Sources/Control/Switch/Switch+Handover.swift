// What the handover socket does: descriptors of other processes become ports.
//
//   attach   {"name": NAME, "keys": {KEY: TEXT, ...}} and one descriptor; HandoverAttachment back
//
// A port of the configuration with `source` takes the descriptor as it is configured, and waits for
// the next one when the peer has gone. Any other name makes a port that lasts as long as its peer:
// it takes the way of `port add`, is checked alike, survives reloads, and is not saved.

internal import CShimsSystem
internal import Logging

/// What was attached to what, as the handover socket answers.
public struct HandoverAttachment: Codable, Equatable, Sendable {
    /// Name of the port.
    public var port: String
    /// Type of the port.
    public var type: String
    /// Whether the port was made for the descriptor and goes with its peer.
    public var isTransient: Bool
}

extension Switch: HandoverService {
    func answer(_ request: HandoverRequest) async throws(ControlError) -> HandoverReply {
        switch request.operation {
        case "attach": try HandoverReply(await attach(request))
        default:
            throw ControlError(
                .notFound, "there is no operation \(request.operation.terminalSafe)")
        }
    }

    func connectionEnded(_ connection: HandoverConnectionID) {}

    private func attach(
        _ request: HandoverRequest
    ) async throws(ControlError) -> HandoverAttachment {
        let edit = try request.decode(PortEdit.self)
        guard request.descriptors.count == 1 else {
            throw ControlError(
                .badRequest,
                "attach takes one descriptor, and \(request.descriptors.count) came along")
        }
        let descriptor = request.descriptors[0]
        let isNew = port(named: edit.name) == nil
        if isNew {
            try await addTransient(edit, for: descriptor)
        } else if !edit.keys.isEmpty {
            throw ControlError(
                .conflict,
                "the port \(edit.name.terminalSafe) exists and has its own settings: attach "
                    + "without keys, and change them with `ringswitch port set`")
        }
        do {
            return try await give(descriptor, to: edit.name, from: request.peer)
        } catch {
            if isNew { await removeTransient(edit.name) }
            throw error
        }
    }

    /// Gives a descriptor to the port that there is.
    private func give(
        _ descriptor: PassedDescriptor, to name: String, from sender: HandoverPeer
    ) async throws(ControlError) -> HandoverAttachment {
        guard let port = port(named: name) else {
            throw ControlError(.conflict, "the port \(name.terminalSafe) has just been removed")
        }
        guard let port = port as? DescriptorPort else {
            throw ControlError(
                .conflict,
                "the port \(name.terminalSafe) opens its own socket or device: give it "
                    + "source = \"handover\", or take another name")
        }
        do throws(PortError) {
            try await port.take(descriptor, from: sender)
        } catch {
            throw ControlError(.conflict, "port \(name.terminalSafe): \(error)")
        }
        return HandoverAttachment(
            port: name, type: port.configuration.type.rawValue,
            isTransient: transientPorts.contains(name))
    }

    // MARK: Ports that go with their peer

    private func addTransient(
        _ edit: PortEdit, for descriptor: PassedDescriptor
    ) async throws(ControlError) {
        let wanted = try Self.completed(edit, for: descriptor)
        _ = try await change(edit.name) { configuration throws(ConfigurationErrors) in
            try configuration.adding(wanted, during: "attach")
        }
        transientPorts.insert(edit.name)
    }

    /// The keys of a new port, with what the descriptor itself says filled in.
    private static func completed(
        _ edit: PortEdit, for descriptor: PassedDescriptor
    ) throws(ControlError) -> PortEdit {
        var edit = edit
        for key in ["count", "source", "fd"] where edit.keys[key] != nil {
            throw ControlError(
                .invalidConfiguration,
                "attach: \(key): is not for a port that is made for one "
                    + "descriptor")
        }
        guard let kind = DescriptorKind.of(descriptor.number) else {
            throw ControlError(
                .conflict,
                "the descriptor is \(DescriptorKind.words(for: descriptor.number)), which no port "
                    + "takes")
        }
        edit.keys["source"] = PortSource.handover.rawValue
        if edit.keys["type"] == nil { edit.keys["type"] = kind.type.rawValue }
        if kind.type == .tap, edit.keys["offload"] == nil,
            DescriptorKind.facts(of: descriptor.number)?.has_virtio_header == false
        {
            edit.keys["offload"] = "none"
        }
        return edit
    }

    /// Removes a port whose peer has gone, unless another came in the meantime.
    private func removeTransient(_ name: String) async {
        do throws(ControlError) {
            _ = try await change(name, mayEmpty: true) { configuration in
                guard transientPorts.contains(name),
                    (port(named: name) as? DescriptorPort)?.isVacant == true
                else { return nil }
                var next = configuration
                next.ports.removeAll { $0.name == name }
                return next
            }
            transientPorts.remove(name)
        } catch {
            // It has been removed already or is in use again, or the switch is ending.
        }
    }

    func becameVacant(_ port: String) {
        guard transientPorts.contains(port) else { return }
        Task { await removeTransient(port) }
    }

    /// Ports that go with their peers, but those that a file has as well.
    func transientConfigurations(besides file: Configuration) -> [PortConfiguration] {
        let names = Set(file.ports.map(\.name))
        return configuration.ports.filter {
            transientPorts.contains($0.name) && !names.contains($0.name)
        }
    }

    // MARK: Descriptors that outlast a port

    /// Keeps the descriptors of closed ports whose peers live.
    func keepHeirlooms(of ports: [any ManagedPort]) {
        for port in ports {
            guard let descriptor = (port as? DescriptorPort)?.surrender() else { continue }
            heirlooms[port.configuration.name] = descriptor
        }
    }

    /// Closes what no port has taken along.
    func forgetHeirlooms() { heirlooms.removeAll() }

    func heirloom(of port: String) -> PassedDescriptor? { heirlooms[port] }
}
