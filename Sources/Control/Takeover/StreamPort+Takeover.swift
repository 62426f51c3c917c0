// A port on a socket that has connections goes along with its listening socket and its connection.
// A client amid its greeting has to come back.

internal import Dataplane
internal import SwitchCore

extension StreamPort: HeritablePort {
    var isStream: Bool { settings.transport != .seqpacket }

    func suspend() {
        life.isSuspended = true
        listener?.suspend()
        suspendGreeting()
    }

    func resume() {
        life.isSuspended = false
        listener?.resume()
        resumeGreeting()
        if settings.connects { dial() }
    }

    // MARK: The listening socket

    func describePlace(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]) {
        guard let listener, listener.isFirst(self), let socket = listener.socket else { return }
        state.listener = SwitchState.SocketState(file: socket.file)
        kept.append(keep(.listener, socket.descriptor.number, socket.descriptor))
    }

    func adoptSockets(
        _ state: SwitchState.PortState, _ descriptors: inout StateDescriptors
    ) {
        guard let known = state.listener,
            let number = descriptors.take(.listener, of: configuration.name)
        else { return }
        host.streamListeners.adopt(
            StreamListener(
                path: settings.path, socketType: settings.transport.socketType,
                access: settings.access, isShared: settings.isShared,
                socket: (PassedDescriptor(adopting: number), known.file)))
    }

    func restorePlace(_ estate: PortEstate, _ descriptors: inout StateDescriptors) {
        if !settings.connects { joinListenerAgain() }
    }

    // MARK: The connection

    func describe(
        _ peer: StreamConnection, into state: inout SwitchState.PortState,
        _ kept: inout [KeptDescriptor]
    ) {
        kept.append(keep(.socket, peer.descriptor, peer))
    }

    func restorePeer(
        _ estate: PortEstate, _ descriptors: inout StateDescriptors
    ) throws(PortError) -> (peer: StreamConnection, connection: ConnectionSettings)? {
        guard let number = descriptors.take(.socket, of: configuration.name) else { return nil }
        let peer = StreamConnection(adopting: number)
        let effective = try peer.setSendBuffer(settings.sendBuffer)
        life.showSendBuffer(effective, asked: settings.sendBuffer)
        return (peer, life.connection(settings.transport.transportKind, number))
    }

    func waitAfterRestoring() { waitAgain(isRefused: false) }
}
