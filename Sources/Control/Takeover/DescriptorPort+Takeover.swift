// A port with a passed descriptor that goes from one switch to its successor: the descriptor is
// passed on.

internal import Dataplane
internal import SwitchCore

extension DescriptorPort {
    func describe(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]) {
        state.stage = .listening
        state.since = life.since
        // What the worker has received of a stream's next frame does not go along, and a stream
        // that is continued amid a frame is none.
        guard case .attached(let peer, _) = life.stage, let descriptor, settings.type != .stream
        else { return }
        state.stage = .attached
        state.sender = peer.uid
        kept.append(
            KeptDescriptor(
                name: StateDescriptors.name(.socket, of: configuration.name),
                number: descriptor.number, owner: descriptor))
    }

    func restore(
        _ state: SwitchState.PortState, _ descriptors: inout StateDescriptors,
        waiting: [WaitingFrame]
    ) {
        life.stage = .waiting
        guard state.stage == .attached,
            let number = descriptors.take(.socket, of: configuration.name)
        else { return lose(waiting) }
        do throws(PortError) {
            try begin(
                PassedDescriptor(adopting: number),
                from: state.sender.map { HandoverPeer(pid: 0, uid: $0) }
            ) { $0.waitingFrames = waiting }
            life.isInherited = true
            life.since = state.since
        } catch {
            life.note(error.description, .error)
            lose(waiting)
        }
    }

    private func lose(_ waiting: [WaitingFrame]) {
        host.count(id, dropped: .portRemoved, UInt64(waiting.count))
        host.becameVacant(configuration.name)
    }
}
