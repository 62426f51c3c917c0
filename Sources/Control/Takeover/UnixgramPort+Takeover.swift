// A unixgram port that goes from one switch to its successor, with its socket and its peer.
//
// The socket's connection, its path and the frames in it belong to the kernel and stay as they are.
// What a port knows of its peer goes along in words, the handle on the peer's process as a
// descriptor.

internal import CShimsSystem
internal import Dataplane
internal import SwitchCore

extension UnixgramPort {
    func suspend() {
        life.isSuspended = true
        if case .waiting = life.stage { readable?.suspend() }
    }

    func resume() {
        life.isSuspended = false
        readable?.resume()
    }

    func describe(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]) {
        guard let listener else { return }
        var socket = SwitchState.SocketState(
            fileDevice: listener.file.device, fileInode: listener.file.inode,
            backlogMax: listener.backlogMax, passesProcesses: listener.passesProcesses)
        switch life.stage {
        case .waiting:
            state.stage = .listening
        case .attached(let peer, _):
            state.stage = .attached
            socket.peer = SwitchState.PeerState(
                address: peer.address.name, pid: peer.pid, uid: peer.uid, command: peer.command,
                usedMagic: usedMagic)
            if let process = peer.process {
                kept.append(keep(.process, process.descriptor, process))
            }
        case .closed, .paused, .failed, .leaving:
            return
        }
        state.since = life.since
        state.socket = socket
        kept.append(keep(.socket, listener.descriptor, listener))
    }

    private func keep(
        _ part: StateDescriptors.Part, _ number: Int32, _ owner: AnyObject
    ) -> KeptDescriptor {
        KeptDescriptor(
            name: StateDescriptors.name(part, of: configuration.name), number: number,
            owner: owner)
    }

    func restore(
        _ state: SwitchState.PortState, _ descriptors: inout StateDescriptors,
        waiting: [WaitingFrame]
    ) {
        guard state.stage != .closed, let known = state.socket,
            let socket = descriptors.take(.socket, of: configuration.name)
        else {
            host.count(id, dropped: .portRemoved, UInt64(waiting.count))
            life.stage = .failed
            return
        }
        let listener = UnixgramListener(
            path: settings.path, descriptor: socket,
            file: FileIdentity(device: known.fileDevice, inode: known.fileInode),
            backlogMax: known.backlogMax, passesProcesses: known.passesProcesses)
        self.listener = listener
        do throws(PortError) {
            if state.stage == .attached, let peer = known.peer {
                let process = descriptors.take(.process, of: configuration.name)
                try restore(peer, process, listener, waiting)
            } else {
                try restoreListening(listener)
            }
            life.since = state.since
        } catch {
            host.count(id, dropped: .portRemoved, UInt64(waiting.count))
            fail(error)
        }
    }

    private func restore(
        _ known: SwitchState.PeerState, _ process: Int32?, _ listener: UnixgramListener,
        _ waiting: [WaitingFrame]
    ) throws(PortError) {
        let peer = UnixgramPeer(
            address: UnixgramAddress(name: known.address), pid: known.pid, uid: known.uid,
            command: known.command, process: process.map { ProcessHandle(adopting: $0) })
        // The predecessor held the buffer to what the peer read; that is found out anew.
        let effective = try listener.setSendBuffer(settings.sendBuffer)
        var connection = life.connection(.unixgram, listener.descriptor)
        connection.sendBuffer = effective
        connection.waitingFrames = waiting
        try life.attach(peer, connection)
        life.isInherited = true
        life.effectiveSendBuffer = effective
        life.warnings = listener.warnings(
            asked: settings.sendBuffer, effective: effective, usedMagic: known.usedMagic)
        begin(peer, usedMagic: known.usedMagic)
    }

    private func restoreListening(_ listener: UnixgramListener) throws(PortError) {
        // Who was killed in the middle of a handshake leaves a connection that nobody knows.
        var diagnosis = cshims_unix_diagnosis()
        if cshims_socket_diagnose(listener.descriptor, &diagnosis) >= 0, diagnosis.has_peer {
            let leftover = try listener.listenAgain()
            life.countUnserved(frames: leftover.frames, bytes: leftover.bytes)
        }
        listen()
    }
}
