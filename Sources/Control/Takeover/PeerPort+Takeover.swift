// What becomes of a port and its peer when another process takes over.
//
// A port has a place (the socket that waits for peers, if it has one) and perhaps a peer. Both go
// along as descriptors, and what is known of them in words. What every sort of port does the same
// way is here; what it has is in the file of the sort.
//
// A stream has a third part: where it stands. That is known at rest alone. So what is written down
// while the switch runs, for the case that it is killed, has no peers of streams: nobody could go
// on in the middle of a frame, and a connection that ends tells the peer to connect again.

internal import Dataplane
internal import SwitchCore

/// What a predecessor has left to one port, beside descriptors.
struct PortEstate {
    let state: SwitchState.PortState
    /// Frames that waited for its peer.
    let waiting: [WaitingFrame]
    /// Where its stream stands; nil: it has none.
    let position: StreamPosition?
}

/// What the sorts of ports have to hand over.
@ControlActor
protocol HeritablePort: ManagedPort {
    associatedtype Peer: PortPeer

    /// Whether only a port at rest can hand over its peer.
    var isStream: Bool { get }
    /// Adds what peers find the port by.
    func describePlace(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor])
    /// Adds a peer.
    func describe(
        _ peer: Peer, into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor])
    /// Takes over what peers find the port by; what is missing is as if it had failed.
    func restorePlace(_ estate: PortEstate, _ descriptors: inout StateDescriptors)
    /// Takes over a peer.
    /// - Returns: how the data plane is to be told; nil: the descriptor is missing.
    func restorePeer(
        _ estate: PortEstate, _ descriptors: inout StateDescriptors
    ) throws(PortError) -> (peer: Peer, connection: ConnectionSettings)?
    /// The data plane has been told of it.
    func peerRestored(_ peer: Peer, _ estate: PortEstate)
    /// Goes on without a peer.
    func waitAfterRestoring()
}

extension HeritablePort {
    func describePlace(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]) {}
    func restorePlace(_ estate: PortEstate, _ descriptors: inout StateDescriptors) {}
    func peerRestored(_ peer: Peer, _ estate: PortEstate) {}
}

extension PeerPort {
    func suspend() { life.isSuspended = true }
    func resume() { life.isSuspended = false }

    var isInTransit: Bool {
        switch life.stage {
        case .closed, .waiting, .paused, .failed: false
        case .attached: !life.isActive
        case .leaving: true
        }
    }

    var isServing: Bool { if case .attached = life.stage { true } else { false } }

    // MARK: Leaving

    func describe(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]) {
        switch life.stage {
        case .closed, .failed: return
        case .waiting, .paused, .leaving: state.stage = .listening
        case .attached(let peer, _):
            let goesAlong = host.isAtRest || !isStream
            state.stage = goesAlong ? .attached : .listening
            if goesAlong { describe(peer, into: &state, &kept) }
        }
        state.since = life.since
        describePlace(into: &state, &kept)
    }

    /// Something that a successor needs to have.
    func keep(
        _ part: StateDescriptors.Part, _ number: Int32, _ owner: AnyObject
    ) -> KeptDescriptor {
        KeptDescriptor(
            name: StateDescriptors.name(part, of: configuration.name), number: number,
            owner: owner)
    }

    // MARK: Entering

    func restore(_ estate: PortEstate, _ descriptors: inout StateDescriptors) {
        life.stage = .waiting
        restorePlace(estate, &descriptors)
        do throws(PortError) {
            guard estate.state.stage == .attached, !isStream || estate.position != nil,
                let (peer, known) = try restorePeer(estate, &descriptors)
            else { return lose(estate) }
            var connection = known
            connection.waitingFrames = estate.waiting
            connection.streamPosition = estate.position
            try life.attach(peer, connection)
            life.isInherited = true
            life.since = estate.state.since
            peerRestored(peer, estate)
        } catch {
            life.note(error.description, .error)
            lose(estate)
        }
    }

    private func lose(_ estate: PortEstate) {
        // A frame of which a part was sent waited as well.
        let unsent = estate.position?.unsent.isEmpty == false ? 1 : 0
        host.count(id, dropped: .portRemoved, UInt64(estate.waiting.count + unsent))
        guard case .waiting = life.stage else { return }
        waitAfterRestoring()
        life.since = estate.state.since
    }
}
