// A unixgram port that goes from one switch to its successor, with its socket and its peer.
//
// The socket's connection, its path and the frames in it belong to the kernel and stay as they are.
// What a port knows of its peer goes along in words, the handle on the peer's process as a
// descriptor.

internal import CShimsSystem
internal import Dataplane
internal import SwitchCore

extension UnixgramPort: HeritablePort {
    var isStream: Bool { false }

    func suspend() {
        life.isSuspended = true
        if case .waiting = life.stage { readable?.suspend() }
    }

    func resume() {
        life.isSuspended = false
        readable?.resume()
        if case .waiting = life.stage { searchLater() }
    }

    func describePlace(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]) {
        // A port that the ring has refused is still connected to its peer: it is opened anew.
        if case .paused = life.stage { state.stage = .closed }
        guard let listener, state.stage != .closed else { return }
        state.socket = SwitchState.SocketState(listener)
        kept.append(keep(.socket, listener.descriptor, listener))
    }

    func describe(
        _ peer: UnixgramPeer, into state: inout SwitchState.PortState,
        _ kept: inout [KeptDescriptor]
    ) {
        state.peer = SwitchState.PeerState(peer, usedMagic: usedMagic)
        if let process = peer.process {
            kept.append(keep(.process, process.descriptor, process))
        }
    }

    func restorePlace(_ estate: PortEstate, _ descriptors: inout StateDescriptors) {
        guard estate.state.stage != .closed, let known = estate.state.socket,
            let socket = descriptors.take(.socket, of: configuration.name)
        else {
            life.stage = .failed
            return
        }
        listener = UnixgramListener(known, path: settings.path, descriptor: socket)
    }

    func restorePeer(
        _ estate: PortEstate, _ descriptors: inout StateDescriptors
    ) throws(PortError) -> (peer: UnixgramPeer, connection: ConnectionSettings)? {
        guard let listener, let known = estate.state.peer else { return nil }
        let peer = UnixgramPeer(
            known, process: descriptors.take(.process, of: configuration.name))
        // The predecessor held the buffer to what the peer read; that is found out anew.
        let effective = try listener.setSendBuffer(settings.sendBuffer)
        life.effectiveSendBuffer = effective
        life.warnings = listener.warnings(
            asked: settings.sendBuffer, effective: effective, usedMagic: known.usedMagic)
        var connection = life.connection(.unixgram, listener.descriptor)
        connection.sendBuffer = effective
        return (peer, connection)
    }

    func peerRestored(_ peer: UnixgramPeer, _ estate: PortEstate) {
        begin(peer, usedMagic: estate.state.peer?.usedMagic ?? false)
    }

    func waitAfterRestoring() {
        guard let listener else { return }
        do throws(PortError) {
            // Who was killed in the middle of a handshake leaves a connection that nobody knows.
            var diagnosis = cshims_unix_diagnosis()
            if cshims_socket_diagnose(listener.descriptor, &diagnosis) >= 0, diagnosis.has_peer {
                let leftover = try listener.listenAgain()
                life.countUnserved(frames: leftover.frames, bytes: leftover.bytes)
            }
            listen()
        } catch {
            fail(error)
        }
    }
}

extension SwitchState.SocketState {
    init(_ listener: UnixgramListener) {
        self.init(
            file: listener.file, backlogMax: listener.backlogMax,
            passesProcesses: listener.passesProcesses)
    }
}

extension UnixgramListener {
    /// A socket that a predecessor has made.
    convenience init(_ known: SwitchState.SocketState, path: String, descriptor: Int32) {
        self.init(
            path: path, descriptor: descriptor, file: known.file, backlogMax: known.backlogMax,
            passesProcesses: known.passesProcesses)
    }
}

extension SwitchState.PeerState {
    init(_ peer: UnixgramPeer, usedMagic: Bool = false) {
        self.init(
            address: peer.address.name, pid: peer.pid, uid: peer.uid, command: peer.command,
            usedMagic: usedMagic)
    }
}

extension UnixgramPeer {
    /// A peer that a predecessor has known.
    init(_ known: SwitchState.PeerState, process: Int32?) {
        self.init(
            address: UnixgramAddress(name: known.address), pid: known.pid, uid: known.uid,
            command: known.command, process: process.map { ProcessHandle(adopting: $0) })
    }
}
