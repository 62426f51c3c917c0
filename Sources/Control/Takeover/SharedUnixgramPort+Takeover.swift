// A port of a shared path goes along with its socket; or, where its peer shares one with others,
// with its pair, whose other end the relay of the successor goes on with.

internal import Dataplane
internal import SwitchCore

extension SharedUnixgramPort: HeritablePort {
    var isStream: Bool { false }

    func suspend() {
        life.isSuspended = true
        place.suspend()
        countLosses()
    }

    func resume() {
        life.isSuspended = false
        place.resume()
    }

    // MARK: The path

    func describePlace(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]) {
        guard place.isFirst(self), let listener = place.listener else { return }
        state.listener = SwitchState.SocketState(listener)
        kept.append(keep(.listener, listener.descriptor, listener))
    }

    func adoptSockets(
        _ state: SwitchState.PortState, _ descriptors: inout StateDescriptors
    ) {
        let name = configuration.name
        if let known = state.listener, let number = descriptors.take(.listener, of: name) {
            place.adopt(UnixgramListener(known, path: settings.path, descriptor: number))
        }
        if let known = state.socket, let number = descriptors.take(.relay, of: name) {
            place.makeRelay(
                on: UnixgramListener(known, path: settings.path, descriptor: number))
        }
    }

    func restorePlace(_ estate: PortEstate, _ descriptors: inout StateDescriptors) {
        place.rejoin(self)
    }

    // MARK: The peer

    func describe(
        _ peer: UnixgramPeer, into state: inout SwitchState.PortState,
        _ kept: inout [KeptDescriptor]
    ) {
        state.peer = SwitchState.PeerState(peer)
        if let process = peer.process {
            kept.append(keep(.process, process.descriptor, process))
        }
        switch line {
        case .own(let socket):
            state.socket = SwitchState.SocketState(socket)
            kept.append(keep(.socket, socket.descriptor, socket))
        case .relayed(let relay, let client, let end):
            guard let pair = relay.pair(of: peer.address), let socket = place.socket(of: relay)
            else { return }
            state.socket = SwitchState.SocketState(socket)
            // While the relay carries, what waits is soon delivered.
            state.relayed = SwitchState.RelayedState(
                clientInode: client.inode, waiting: host.isAtRest ? pair.waiting : nil)
            kept += [keep(.socket, end.number, end), keep(.pair, pair.end.number, pair.end)]
            // systemd does not keep one socket under two names.
            if place.isFirst(self, of: relay) {
                kept.append(keep(.relay, socket.descriptor, socket))
            }
        case nil: break
        }
    }

    func restorePeer(
        _ estate: PortEstate, _ descriptors: inout StateDescriptors
    ) throws(PortError) -> (peer: UnixgramPeer, connection: ConnectionSettings)? {
        let name = configuration.name
        guard let known = estate.state.peer, let socket = estate.state.socket,
            let number = descriptors.take(.socket, of: name)
        else { return nil }
        let peer = UnixgramPeer(known, process: descriptors.take(.process, of: name))
        if let relayed = estate.state.relayed {
            let end = PassedDescriptor(adopting: number)
            let pair = descriptors.take(.pair, of: name).map(PassedDescriptor.init(adopting:))
            guard let pair, let relay = place.relay(on: socket.file) else { return nil }
            relay.add(peer.address, pair, waiting: relayed.waiting)
            line = .relayed(
                relay, UnixgramClient(inode: relayed.clientInode, peer: peer), end: end)
        } else {
            let own = UnixgramListener(socket, path: settings.path, descriptor: number)
            line = .own(own)
            let effective = try own.setSendBuffer(settings.sendBuffer)
            life.showSendBuffer(effective, asked: settings.sendBuffer)
        }
        return (peer, life.connection(.unixgram, number))
    }

    func peerRestored(_ peer: UnixgramPeer, _ estate: PortEstate) { beginWatching(peer) }

    func waitAfterRestoring() {
        hangUp()
        waitAgain(isRefused: false)
    }
}
