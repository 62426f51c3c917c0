// A port of a shared path: free until it is given a peer, and again when the peer has gone.
//
//     closed --open--> free --take--> attached --peer gone--> leaving --retired--> free
//                                        `-------close------> leaving --retired--> closed
//
// The peer comes with the socket that it is connected to, which is closed after it; or through a
// relay, with one end of a pair (SharedUnixgramPath.swift says when).

internal import CShimsSystem
internal import Dataplane
internal import Foundation
internal import SwitchCore

/// A `unixgram` port with `shared = true`.
@ControlActor
final class SharedUnixgramPort: PortOpenedAnew {
    private enum Stage {
        case closed, free, leaving
        case attached(UnixgramPeer, generation: UInt32)
    }

    /// What the peer is reached by.
    private enum Line {
        case own(UnixgramListener)
        case relayed(UnixgramRelay, UnixgramClient, end: PassedDescriptor)
    }

    let id: PortID
    private(set) var configuration: PortConfiguration
    private var settings: PortConfiguration.Unixgram
    private unowned let host: any PortHost
    private let place: SharedUnixgramPath
    private var stage = Stage.closed { didSet { since = Date() } }
    private var since = Date()
    private var line: Line?
    private var processEnd: ReadSource?
    private var effectiveSendBuffer: Int?
    private var peerWarnings: [UnixgramWarning] = []
    private var lastError: String?
    private var isProbing = false
    private var isProbeDue = false
    private var isClosing = false
    private let retired = Gate()
    private let closed = Gate()

    init(
        _ id: PortID, _ configuration: PortConfiguration, _ settings: PortConfiguration.Unixgram,
        at place: SharedUnixgramPath, host: any PortHost
    ) {
        self.id = id
        self.configuration = configuration
        self.settings = settings
        self.place = place
        self.host = host
    }

    func open() throws(PortError) {
        guard !isClosing else { throw .refused("the port is being closed") }
        stage = .free
        try place.join(self)
    }

    /// Whether a peer can be taken.
    var isFree: Bool { if case .free = stage { !isClosing } else { false } }

    /// What is asked of a peer.
    var rules: HandshakeRules {
        HandshakeRules(
            allowUIDs: settings.allowUIDs, sendBuffer: settings.sendBuffer,
            frameLengthMax: configuration.maxFrame)
    }

    // MARK: Taking a peer

    /// Takes a peer with the socket that has been connected back to it.
    func take(_ attachment: UnixgramAttachment, on socket: UnixgramListener) {
        peerWarnings = attachment.warnings
        if attachment.usedMagic, configuration.pausesOnCongestion {
            peerWarnings.append(.pausedLibkrun)
        }
        effectiveSendBuffer = attachment.effectiveSendBuffer
        attach(
            attachment.peer, socket.descriptor, .own(socket), earlyFrames: attachment.frames)
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
            effectiveSendBuffer = Int(cshims_socket_send_buffer(end.number))
            attach(client.peer, end.number, .relayed(relay, client, end: end), earlyFrames: [])
        } catch {
            note(error.description)
        }
    }

    private func attach(
        _ peer: UnixgramPeer, _ descriptor: Int32, _ line: Line, earlyFrames: [[UInt8]]
    ) {
        self.line = line
        do throws(PortError) {
            let generation = try host.attach(
                ConnectionSettings(
                    port: id, transport: .unixgram, descriptor: descriptor,
                    frameLengthMax: configuration.maxFrame, offload: configuration.offload,
                    queueBytes: configuration.queueBytes,
                    queueDiscipline: configuration.queueDiscipline,
                    queueDelayNanoseconds: UInt64(configuration.queueDelayNanoseconds),
                    pausesOnCongestion: configuration.pausesOnCongestion,
                    earlyFrames: earlyFrames))
            stage = .attached(peer, generation: generation)
        } catch {
            note(error.description)
            countUnserved(earlyFrames.count, earlyFrames.reduce(0) { $0 + $1.count })
            hangUp()
            return
        }
        watch(peer)
    }

    // MARK: Attached

    private func watch(_ peer: UnixgramPeer) {
        guard let process = peer.process else {
            isProbing = true
            return
        }
        processEnd = ReadSource(descriptor: process.descriptor, keeping: process) { [weak self] in
            self?.processEnded()
        }
    }

    private func processEnded() {
        processEnd?.cancel()
        processEnd = nil
        isProbing = true
        askPeer()
    }

    private func askPeer() {
        guard case .attached(let peer, _) = stage, let line else { return }
        switch line {
        case .own(let socket):
            if case .dead(let reason) = socket.probe(peer) { leave(reason) }
        case .relayed(let relay, let client, _):
            let losses = relay.takeLosses(client.peer.address)
            count(losses)
            if losses.isGone || !client.exists { leave("its socket is closed") }
        }
    }

    func tend() {
        guard !isClosing else { return }
        isProbeDue.toggle()
        if isProbing || isProbeDue { askPeer() }
        place.tend(by: self)
    }

    private func leave(_ reason: String) {
        guard case .attached(let peer, _) = stage else { return }
        host.log(.info, "detached \(peer.summary): \(reason)", port: configuration.name)
        host.tell(.connectionClosed(configuration.name, status(of: peer), reason: reason))
        detach()
    }

    private func detach() {
        isProbing = false
        processEnd?.cancel()
        processEnd = nil
        stage = .leaving
        host.detach(id)
    }

    func handle(_ event: DataPlaneEvent) {
        if event.kind == .retired {
            becomeRetired()
            return
        }
        guard case .attached(let peer, let generation) = stage, generation == event.generation
        else { return }
        switch event.kind {
        case .activated:
            lastError = nil
            host.log(.info, "attached \(peer.summary)", port: configuration.name)
            host.tell(.connectionEstablished(configuration.name, status(of: peer)))
        case .activationFailed:
            let reason = ringRefusal(event.errno, of: "the port's socket")
            note("\(peer.summary) is not attached: " + reason)
            host.tell(.connectionRefused(configuration.name, status(of: peer), reason: reason))
            detach()
        case .peerGone:
            leave(SystemText.reason(event.errno))
        case .retired:
            break
        }
    }

    private func becomeRetired() {
        guard case .leaving = stage else { return }
        effectiveSendBuffer = nil
        peerWarnings = []
        hangUp()
        stage = .free
        if isClosing { retired.open() } else { place.portIsFree() }
    }

    /// Lets go of what the peer was reached by, and counts what it had sent and nobody read.
    private func hangUp() {
        switch line {
        case .own(let socket):
            let leftover = UnixgramListener.readLeftover(of: socket.descriptor)
            countUnserved(leftover.frames, leftover.bytes)
            socket.close()
        case .relayed(let relay, let client, let end):
            count(relay.takeLosses(client.peer.address))
            relay.remove(client.peer.address)
            let leftover = UnixgramListener.readLeftover(of: end.number)
            countUnserved(leftover.frames, leftover.bytes)
        case nil: break
        }
        line = nil
    }

    // MARK: Books

    /// See `UnixgramPort.count`.
    func count(_ counts: HandshakeCounts) {
        host.count(id, .handshakes, UInt64(counts.magic))
        host.count(id, .receivedFrames, UInt64(counts.droppedFrames))
        host.count(id, .receivedBytes, UInt64(counts.droppedBytes))
        host.count(id, dropped: .runt, UInt64(counts.runts))
        host.count(id, dropped: .foreign, UInt64(counts.foreign))
        host.count(id, dropped: .oversize, UInt64(counts.oversize))
        host.count(id, dropped: .handoverFull, UInt64(counts.handoverFull))
    }

    /// Counts what the relay could not pass on.
    private func count(_ losses: UnixgramRelay.Losses) {
        host.count(id, .handshakes, UInt64(losses.greetings))
        host.count(id, .receivedFrames, UInt64(losses.frames))
        host.count(id, .receivedBytes, UInt64(losses.bytes))
        host.count(id, dropped: .handoverFull, UInt64(losses.frames))
    }

    /// Counts what clients sent that have no port.
    func countStrangers(_ losses: UnixgramRelay.Losses) {
        host.count(id, .handshakes, UInt64(losses.greetings))
        host.count(id, .receivedFrames, UInt64(losses.frames))
        host.count(id, .receivedBytes, UInt64(losses.bytes))
        host.count(id, dropped: .foreign, UInt64(losses.frames))
    }

    private func countUnserved(_ frames: Int, _ bytes: Int) {
        host.count(id, .receivedFrames, UInt64(frames))
        host.count(id, .receivedBytes, UInt64(bytes))
        host.count(id, dropped: .noPeer, UInt64(frames))
    }

    /// Tells of a client that was not taken.
    func report(_ refusal: HandshakeRefusal) {
        note(refusal.description)
        host.tell(
            .connectionRefused(
                configuration.name, PeerStatus(uid: refusal.uid, address: "\(refusal.address)"),
                reason: refusal.description))
    }

    /// Keeps an error for `status`, and logs it unless that was the last word.
    func note(_ message: String, _ level: PortLogLevel = .warning) {
        guard message != lastError else { return }
        lastError = message
        host.log(level, message, port: configuration.name)
    }

    // MARK: Changing and closing

    func adapt(to next: PortConfiguration) throws(PortError) {
        guard case .unixgram(let wanted) = next.kind else { preconditionFailure("another type") }
        try place.setAccess(wanted.access)
        var granted: Int?
        if wanted.sendBuffer != settings.sendBuffer, case .own(let socket)? = line {
            let effective = try socket.setSendBuffer(wanted.sendBuffer)
            (granted, effectiveSendBuffer) = (effective, effective)
        }
        let changed = next.liveSettings(sendBuffer: granted)
        if changed != configuration.liveSettings() { host.change(id, to: changed) }
        (configuration, settings) = (next, wanted)
    }

    func close() async {
        guard !isClosing else {
            await closed.wait()
            return
        }
        isClosing = true
        if case .attached = stage { leave("the port is closed") }
        if case .leaving = stage { await retired.wait() }
        await place.leave(self)
        stage = .closed
        closed.open()
    }

    // MARK: Reports

    func describe(into status: inout PortStatus) {
        status.path = settings.path
        status.since = since
        status.effectiveSendBuffer = effectiveSendBuffer
        status.lastError = lastError
        switch stage {
        case .closed: status.state = .failed
        case .free, .leaving: status.state = .listening
        case .attached(let peer, _):
            status.state = .attached
            status.peer = self.status(of: peer)
        }
    }

    private func status(of peer: UnixgramPeer) -> PeerStatus {
        PeerStatus(pid: peer.pid, uid: peer.uid, command: peer.command, address: "\(peer.address)")
    }

    var warnings: [String] { peerWarnings.map { "\(configuration.name): \($0)" } }
}
