// A port with a passed descriptor that goes from one switch to its successor: the descriptor is
// passed on.

internal import Dataplane
internal import SwitchCore

extension DescriptorPort: HeritablePort {
    var isStream: Bool { settings.type == .stream }

    func describe(
        _ peer: PassedPeer, into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]
    ) {
        guard let descriptor else { return }
        state.sender = peer.uid
        kept.append(keep(.socket, descriptor.number, descriptor))
    }

    func restorePeer(
        _ estate: PortEstate, _ descriptors: inout StateDescriptors
    ) throws(PortError) -> (peer: PassedPeer, connection: ConnectionSettings)? {
        guard let number = descriptors.take(.socket, of: configuration.name) else { return nil }
        let passed = PassedDescriptor(adopting: number)
        let sender = estate.state.sender.map { HandoverPeer(pid: 0, uid: $0) }
        let examined = try examine(passed, from: sender)
        descriptor = passed
        return examined
    }

    func peerRestored(_ peer: PassedPeer, _ estate: PortEstate) { beginWatching(peer) }

    func waitAfterRestoring() {
        descriptor = nil
        host.becameVacant(configuration.name)
    }
}
