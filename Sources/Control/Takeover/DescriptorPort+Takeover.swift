// A port with a passed descriptor that goes from one switch to its successor: the descriptor is
// passed on.

internal import Dataplane
internal import SwitchCore

extension DescriptorPort {
    func suspend() { isSuspended = true }
    func resume() { isSuspended = false }

    var isInTransit: Bool {
        if case .leaving = stage { true } else { isInherited }
    }

    func describe(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]) {
        state.stage = .listening
        state.since = since
        // What the worker has received of a stream's next frame does not go along, and a stream
        // that is continued amid a frame is none.
        guard case .attached(let peer, _) = stage, let descriptor, settings.type != .stream
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
        stage = .waiting
        guard state.stage == .attached,
            let number = descriptors.take(.socket, of: configuration.name)
        else { return lose(waiting) }
        do throws(PortError) {
            inheritedFrames = waiting
            defer { inheritedFrames = [] }
            try begin(
                PassedDescriptor(adopting: number),
                from: state.sender.map { HandoverPeer(pid: 0, uid: $0) })
            isInherited = true
            since = state.since
        } catch {
            note(error.description)
            lose(waiting)
        }
    }

    private func lose(_ waiting: [WaitingFrame]) {
        host.count(id, dropped: .portRemoved, UInt64(waiting.count))
        host.becameVacant(configuration.name)
    }
}
