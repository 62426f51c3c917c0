// A port of a shared path: it waits until it is given a peer, and again when the peer has gone.
//
// The peer comes with the socket that it is connected to, which is closed after it; or through a
// relay, with one end of a pair (SharedUnixgramPath.swift says when).

internal import CShimsSystem
internal import Dataplane
internal import SwitchCore

/// A `unixgram` port with `shared = true`.
@ControlActor
final class SharedUnixgramPort: PeerPort {
    /// What the peer is reached by.
    enum Line {
        case own(UnixgramListener)
        case relayed(UnixgramRelay, UnixgramClient, end: PassedDescriptor)

        var descriptor: Int32 {
            switch self {
            case .own(let socket): socket.descriptor
            case .relayed(_, _, let end): end.number
            }
        }
    }

    let life: PortLife<UnixgramPeer>
    private(set) var settings: PortConfiguration.Unixgram
    let place: SharedUnixgramPath
    var line: Line?
    private var watch: PeerWatch?

    init(
        _ id: PortID, _ configuration: PortConfiguration, _ settings: PortConfiguration.Unixgram,
        at place: SharedUnixgramPath, host: any PortHost
    ) {
        life = PortLife(id, configuration, host: host)
        self.settings = settings
        self.place = place
    }

    var path: String? { settings.path }
    var idleState: PortStatus.State { .listening }

    func open() throws(PortError) {
        guard !life.isClosing else { throw .refused("the port is being closed") }
        life.stage = .waiting
        try place.join(self)
    }

    /// Whether the peer is behind this relay.
    func isRelayed(by relay: UnixgramRelay) -> Bool {
        if case .relayed(let own, _, _) = line { own === relay } else { false }
    }

    /// Whether a peer can be taken.
    var isFree: Bool {
        guard case .waiting = life.stage else { return false }
        return !life.isClosing && !life.isSuspended
    }

    /// What is asked of a peer.
    var rules: HandshakeRules {
        HandshakeRules(
            allowUIDs: settings.allowUIDs, sendBuffer: settings.sendBuffer,
            frameLengthMax: configuration.maxFrame)
    }

    // MARK: Taking a peer

    /// Takes a peer with the socket that has been connected back to it.
    func take(_ attachment: UnixgramAttachment, on socket: UnixgramListener) {
        life.warnings = attachment.warnings
        if attachment.usedMagic, configuration.pausesOnCongestion {
            life.warnings.append(.pausedLibkrun)
        }
        life.effectiveSendBuffer = attachment.effectiveSendBuffer
        attach(attachment.peer, .own(socket), earlyFrames: attachment.frames)
    }

    /// Takes a peer that shares its socket with others.
    func take(_ client: UnixgramClient, through relay: UnixgramRelay) {
        if let uid = client.peer.uid, !rules.allowUIDs.isEmpty, !rules.allowUIDs.contains(uid) {
            return report(
                HandshakeRefusal(
                    reason: .userNotAllowed(rules.allowUIDs), address: client.peer.address,
                    uid: uid, summary: client.peer.summary))
        }
        do throws(PortError) {
            let end = PassedDescriptor(adopting: try relay.add(client.peer.address))
            life.effectiveSendBuffer = Int(cshims_socket_send_buffer(end.number))
            attach(client.peer, .relayed(relay, client, end: end), earlyFrames: [])
        } catch {
            life.note(error.description, .warning)
        }
    }

    private func attach(_ peer: UnixgramPeer, _ line: Line, earlyFrames: [[UInt8]]) {
        self.line = line
        do throws(PortError) {
            var connection = life.connection(.unixgram, line.descriptor)
            connection.earlyFrames = earlyFrames
            try life.attach(peer, connection)
            beginWatching(peer)
        } catch {
            life.note(error.description, .warning)
            life.countUnserved(
                frames: earlyFrames.count, bytes: earlyFrames.reduce(0) { $0 + $1.count })
            hangUp()
        }
    }

    func beginWatching(_ peer: UnixgramPeer) {
        watch = PeerWatch(peer.process) { [weak self] in self?.askPeer() }
    }

    // MARK: Attached

    private func askPeer() {
        guard case .attached(let peer, _) = life.stage, !life.isSuspended, let line else { return }
        switch line {
        case .own(let socket):
            if case .dead(let reason) = socket.probe(peer) { leave(reason) }
        case .relayed(_, let client, _):
            if countLosses() || !client.exists { leave("its socket is closed") }
        }
    }

    func tend() {
        guard !life.isClosing else { return }
        watch?.tend()
        place.tend(by: self)
    }

    func peerLeaves() {
        watch?.cancel()
        watch = nil
    }

    func letGo(of peer: UnixgramPeer) { hangUp() }

    func waitAgain(isRefused: Bool) { place.portIsFree() }

    /// Lets go of what the peer was reached by, and counts what it had sent and nobody read.
    func hangUp() {
        guard let line else { return }
        countLosses()
        if case .relayed(let relay, let client, _) = line { relay.remove(client.peer.address) }
        let leftover = UnixgramListener.readLeftover(of: line.descriptor)
        life.countUnserved(frames: leftover.frames, bytes: leftover.bytes)
        if case .own(let socket) = line { socket.close() }
        self.line = nil
    }

    // MARK: Books

    /// Counts what the relay could not pass on since the last time.
    /// - Returns: whether the peer has refused a frame.
    @discardableResult
    func countLosses() -> Bool {
        guard case .relayed(let relay, let client, _) = line else { return false }
        let losses = relay.takeLosses(client.peer.address)
        count(losses)
        return losses.isGone
    }

    private func count(_ losses: UnixgramRelay.Losses, as reason: DropReason = .handoverFull) {
        host.count(id, .handshakes, UInt64(losses.greetings))
        host.count(id, .receivedFrames, UInt64(losses.frames))
        host.count(id, .receivedBytes, UInt64(losses.bytes))
        host.count(id, dropped: reason, UInt64(losses.frames))
    }

    /// Counts what clients sent that have no port.
    func countStrangers(_ losses: UnixgramRelay.Losses) { count(losses, as: .foreign) }

    /// Tells of a client that was not taken.
    func report(_ refusal: HandshakeRefusal) {
        life.note(refusal.description, .warning)
        tellRefused(refusal, refusal.description)
    }

    // MARK: Changing and closing

    func adapt(to next: PortConfiguration) throws(PortError) {
        guard case .unixgram(let wanted) = next.kind else { preconditionFailure("another type") }
        try place.setAccess(wanted.access)
        var granted: Int?
        if wanted.sendBuffer != settings.sendBuffer, case .own(let socket)? = line {
            let effective = try socket.setSendBuffer(wanted.sendBuffer)
            granted = effective
            life.showSendBuffer(effective, asked: wanted.sendBuffer)
        }
        life.change(to: next, sendBuffer: granted)
        settings = wanted
    }

    func release() async { await place.leave(self) }
}
