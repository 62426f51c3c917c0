// The life of a port with a peer, which is the same for every sort of socket.
//
//     closed --open--> waiting --attach--> attached --peer gone--> leaving --retired--> waiting
//                                             |-------refused----> leaving --retired--> paused
//                                             `-------close------> leaving --retired--> closed
//
// How a peer is found, how its end is noticed, and what `paused` and `failed` lead to is each
// sort's own, in the file of that sort. From attachment to retirement the peer's descriptor belongs
// to the data plane; Control only looks.

internal import Dataplane
internal import SwitchCore

/// A port whose peers come and go.
@ControlActor
protocol PeerPort: HeritablePort {
    var life: PortLife<Peer> { get }
    /// Where peers find the port; nil: nowhere.
    var path: String? { get }
    /// The device that is attached; nil: none, or a socket is.
    var device: String? { get }
    /// What the port is while nobody is attached.
    var idleState: PortStatus.State { get }
    /// The peer's frames pass.
    func peerActivated()
    /// The data plane is about to be asked to let go of the peer.
    func peerLeaves()
    /// The data plane has let go of the peer; what belongs to it is closed.
    func letGo(of peer: Peer)
    /// Waits for the next peer.
    /// - Parameter isRefused: the ring did not take the last one, and may not take the next either.
    func waitAgain(isRefused: Bool)
    /// Waits for nobody any more, as the port closes.
    func stopWaiting()
    /// Closes what the port has beside peers.
    func release() async
}

extension PeerPort {
    var id: PortID { life.id }
    var configuration: PortConfiguration { life.configuration }
    var host: any PortHost { life.host }
    var device: String? { nil }

    func peerActivated() {}
    func peerLeaves() {}
    func stopWaiting() {}
    func release() async {}

    // MARK: Events

    func handle(_ event: DataPlaneEvent) {
        if event.kind == .retired { return becomeRetired() }
        guard case .attached(let peer, let generation) = life.stage, generation == event.generation
        else { return }
        switch event.kind {
        case .activated: welcome(peer)
        case .activationFailed:
            let reason = ringRefusal(event.errno, of: "the port's socket")
            life.note("\(peer.summary) is not attached: \(reason)", .error)
            tellRefused(peer, reason)
            detach(peer, isRefused: true)
        case .peerGone:
            let reason = event.ending.reason(event.errno)
            if event.ending.isFault { life.lastError = "detached \(peer.summary): \(reason)" }
            leave(reason, isFault: event.ending.isFault)
        case .retired: break
        }
    }

    private func welcome(_ peer: Peer) {
        life.lastError = nil
        life.log(.info, "\(life.isInherited ? "took over" : "attached") \(peer.summary)")
        if !life.isInherited {
            host.tell(.connectionEstablished(configuration.name, peer.status))
        }
        life.isInherited = false
        life.isActive = true
        peerActivated()
    }

    func tellRefused(_ peer: some PortPeer, _ reason: String) {
        host.tell(.connectionRefused(configuration.name, peer.status, reason: reason))
    }

    /// Says that the port can be found again.
    func tellRestored() {
        life.lastError = nil
        life.log(.info, "listening on \(path ?? "nothing") again")
        host.tell(.portRestored(configuration.name))
    }

    // MARK: Parting

    /// Parts with the peer, if there is one.
    func leave(_ reason: String, isFault: Bool = false) {
        guard case .attached(let peer, _) = life.stage else { return }
        life.log(isFault ? .warning : .info, "detached \(peer.summary): \(reason)")
        host.tell(.connectionClosed(configuration.name, peer.status, reason: reason))
        detach(peer, isRefused: false)
    }

    private func detach(_ peer: Peer, isRefused: Bool) {
        peerLeaves()
        life.retired = Gate()
        life.stage = .leaving(peer, isRefused: isRefused)
        host.detach(id)
    }

    private func becomeRetired() {
        guard case .leaving(let peer, let isRefused) = life.stage else { return }
        life.forgetPeer()
        letGo(of: peer)
        life.stage = .waiting
        // Who waits for its end has the port before whoever is told that nobody has it.
        life.retired.open()
        if !life.isClosing { waitAgain(isRefused: isRefused) }
    }

    func close() async {
        guard !life.isClosing else { return await life.closed.wait() }
        life.isClosing = true
        stopWaiting()
        leave("the port is closed")
        if case .leaving = life.stage { await life.retired.wait() }
        await release()
        life.stage = .closed
        life.closed.open()
    }

    // MARK: Reports

    func describe(into status: inout PortStatus) {
        status.path = path
        status.device = device
        status.since = life.since
        status.effectiveSendBuffer = life.effectiveSendBuffer
        status.lastError = life.lastError
        switch life.stage {
        case .closed, .failed: status.state = .failed
        case .waiting, .paused, .leaving: status.state = idleState
        case .attached(let peer, _):
            status.state = .attached
            status.peer = peer.status
        }
    }

    var warnings: [String] { life.warnings.map { "\(configuration.name): \($0)" } }
}

extension PeerEnding {
    /// Why the connection ended, for people.
    func reason(_ errno: Int32) -> String {
        switch self {
        case .failed: SystemText.reason(errno)
        case .closed: "it closed the connection"
        case .closedAmidFrame: "it closed the connection amid a frame"
        case .emptyFrame: "it announced a frame of no bytes"
        case .desynchronised:
            "desynchronised: it announced a frame longer than any can be"
        }
    }
}
