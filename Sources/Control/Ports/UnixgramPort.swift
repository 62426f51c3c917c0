// A port that listens on a socket path and takes one peer at a time; PeerPort.swift tells its life.
//
// While it waits, Control reads the socket; while a peer is attached, the worker does. A peer's end
// is noticed by the pidfd that came with its handshake, or by looking (PeerWatch.swift). A failed
// send tells as well.
//
// A successor may have been let in before that was noticed, and its greeting lost. So a port that
// listens again looks once, a moment later, for a peer that is connected and silent
// (SilentPeer.swift). Nothing of its process is known: it is watched as one without a pidfd.
//
// What fails is tried again when the port is tended: a peer that the ring refused (`paused`; at
// once would mean a line of the log for each of its frames), a socket that became unusable or whose
// file somebody removed (`failed`).

internal import CShimsSystem
internal import Dataplane
internal import SwitchCore

/// A `unixgram` port.
@ControlActor
final class UnixgramPort: PeerPort {
    let life: PortLife<UnixgramPeer>
    private(set) var settings: PortConfiguration.Unixgram
    var listener: UnixgramListener?
    /// Watches the socket; kept after its cancellation, as the socket is closed after its end.
    private(set) var readable: ReadSource?
    private var watch: PeerWatch?
    private var search: Timer?
    /// The moment in which a successor may still make itself known: clients greet within
    /// microseconds of connecting, and one whose greeting is lost waits this long for the network.
    private static let searchDelayMilliseconds = 10
    /// Whether the peer greeted as libkrun does.
    private(set) var usedMagic = false
    private var isReopening = false

    init(
        _ id: PortID, _ configuration: PortConfiguration, _ settings: PortConfiguration.Unixgram,
        host: any PortHost
    ) {
        life = PortLife(id, configuration, host: host)
        self.settings = settings
    }

    var path: String? { settings.path }
    var idleState: PortStatus.State { .listening }

    func open() throws(PortError) {
        listener = try UnixgramListener.listen(
            path: settings.path, mode: settings.mode, owner: settings.owner, group: settings.group)
        listen()
    }

    // MARK: Waiting

    func listen() {
        guard let listener else { return }
        life.stage = .waiting
        readable = ReadSource(descriptor: listener.descriptor) { [weak self] in
            self?.acceptPeer()
        }
    }

    /// - Parameter isSearch: whether a peer that says nothing is looked for as well.
    private func acceptPeer(isSearch: Bool = false) {
        guard case .waiting = life.stage, !life.isSuspended, let listener else { return }
        let outcome: HandshakeOutcome
        do throws(PortError) {
            let rules = HandshakeRules(
                allowUIDs: settings.allowUIDs, sendBuffer: settings.sendBuffer,
                frameLengthMax: configuration.maxFrame)
            outcome = try isSearch ? listener.acceptSilent(rules) : listener.accept(rules)
        } catch {
            fail(error)
            return
        }
        life.count(outcome.counts)
        for refusal in outcome.refusals {
            life.lastError = refusal.description
            life.log(.warning, refusal.description)
            tellRefused(refusal, refusal.description)
        }
        if let stranger = outcome.foreignPeer {
            life.log(
                .warning,
                "dropped frames of a second peer, \(stranger.summary): one peer a port")
        }
        if let attachment = outcome.attachment { attach(attachment) }
    }

    private func attach(_ attachment: UnixgramAttachment) {
        guard let listener else { return }
        readable?.cancel()
        search?.cancel()
        do throws(PortError) {
            var connection = life.connection(.unixgram, listener.descriptor)
            connection.earlyFrames = attachment.frames
            try life.attach(attachment.peer, connection)
        } catch {
            life.countUnserved(
                frames: attachment.frames.count,
                bytes: attachment.frames.reduce(0) { $0 + $1.count })
            life.stage = .paused
            life.note(error.description, .error)
            tellRefused(attachment.peer, error.description)
            return
        }
        life.effectiveSendBuffer = attachment.effectiveSendBuffer
        life.warnings = attachment.warnings
        begin(attachment.peer, usedMagic: attachment.usedMagic)
    }

    /// Looks after a peer that has been attached.
    func begin(_ peer: UnixgramPeer, usedMagic: Bool) {
        self.usedMagic = usedMagic
        if usedMagic, configuration.pausesOnCongestion { life.warnings.append(.pausedLibkrun) }
        watch = PeerWatch(peer.process) { [weak self] in self?.askPeer() }
    }

    // MARK: Attached

    private func askPeer() {
        guard case .attached(let peer, _) = life.stage, !life.isSuspended, let listener
        else { return }
        if case .dead(let reason) = listener.probe(peer) { leave(reason) }
    }

    func peerLeaves() {
        watch?.cancel()
        watch = nil
    }

    func letGo(of peer: UnixgramPeer) {}

    func waitAgain(isRefused: Bool) {
        if isRefused { life.stage = .paused } else { listenAgain() }
    }

    private func listenAgain() {
        guard let listener else { return }
        do throws(PortError) {
            let leftover = try listener.listenAgain()
            life.countUnserved(frames: leftover.frames, bytes: leftover.bytes)
            listen()
            searchLater()
        } catch {
            fail(error)
        }
    }

    /// Somebody may be connected whose greeting is lost.
    func searchLater() {
        search?.cancel()
        search = Timer(afterMilliseconds: Self.searchDelayMilliseconds) { [weak self] in
            self?.acceptPeer(isSearch: true)
        }
    }

    // MARK: Mending

    func tend() {
        guard !life.isClosing else { return }
        switch life.stage {
        case .attached: watch?.tend()
        case .paused: listenAgain()
        case .waiting:
            guard listener?.isReachable == false else { return }
            let reason = "somebody removed the socket \(settings.path): making it anew"
            life.log(.warning, reason)
            host.tell(.portFailed(configuration.name, reason: reason))
            life.stage = .failed
            Task { await openAgain() }
        case .failed: Task { await openAgain() }
        case .closed, .leaving: break
        }
    }

    /// Takes the port out of use until it can be opened again.
    func fail(_ error: PortError) {
        readable?.cancel()
        life.stage = .failed
        life.note(error.description, .error)
        host.tell(.portFailed(configuration.name, reason: error.description))
    }

    private func openAgain() async {
        guard !isReopening else { return }
        isReopening = true
        defer { isReopening = false }
        await release()
        guard !life.isClosing, case .failed = life.stage else { return }
        do throws(PortError) {
            try open()
            tellRestored()
        } catch {
            life.note(error.description, .error)
        }
    }

    // MARK: Changing

    func adapt(to next: PortConfiguration) throws(PortError) {
        guard case .unixgram(let wanted) = next.kind else { preconditionFailure("another type") }
        if wanted.access != settings.access {
            try listener?.setAccess(wanted.access, from: settings.access)
        }
        try life.change(to: next, sendBuffer: wanted.sendBuffer, from: settings.sendBuffer) {
            // Whoever has a peer has its socket.
            _ throws(PortError) in
            try listener?.setSendBuffer(wanted.sendBuffer) ?? wanted.sendBuffer
        }
        settings = wanted
    }

    // MARK: Closing

    func stopWaiting() {
        readable?.cancel()
        search?.cancel()
    }

    /// Closes the socket, once nothing watches it any more.
    func release() async {
        await readable?.end()
        readable = nil
        listener?.close()
        listener = nil
    }
}

extension UnixgramPeer: PortPeer {
    var status: PeerStatus {
        PeerStatus(pid: pid, uid: uid, command: command, address: "\(address)")
    }
}

extension HandshakeRefusal: PortPeer {
    var status: PeerStatus { PeerStatus(uid: uid, address: "\(address)") }
}
