// A port that listens on a socket path and takes one peer at a time.
//
//     closed --open--> listening --first datagram--> attached
//
//     attached --peer gone--> leaving --retired--> listening
//        |-------refused----> leaving --retired--> paused
//        `-------close------> leaving --retired--> closed
//
// While it listens, Control reads the socket; while a peer is attached, the worker does. A peer's
// end is noticed by the pidfd that came with its handshake. A readable pidfd is a hint (a launcher
// may end while its child keeps the socket), so the peer's socket is looked at before the peer is
// given up; from then on, and where there is no pidfd, each time that the port is tended. A process
// may also outlive its socket (a network card unplugged from a running VM): it is looked at every
// other time in any case. A failed send tells as well.
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
internal import Foundation
internal import SwitchCore

/// A `unixgram` port.
@ControlActor
final class UnixgramPort: ManagedPort {
    enum Stage {
        case closed, listening, paused, failed
        case attached(UnixgramPeer, generation: UInt32)
        case leaving(isRefused: Bool)
    }

    let id: PortID
    private(set) var configuration: PortConfiguration
    private(set) var settings: PortConfiguration.Unixgram
    unowned let host: any PortHost
    var listener: UnixgramListener?
    var stage = Stage.closed {
        didSet {
            since = Date()
            host.stateChanged()
        }
    }
    var since = Date()
    /// Watches the socket; kept after its cancellation, as the socket is closed after its end.
    private(set) var readable: ReadSource?
    private var processEnd: ReadSource?
    private var search: Timer?
    /// The moment in which a successor may still make itself known: clients greet within
    /// microseconds of connecting, and one whose greeting is lost waits this long for the network.
    private static let searchDelayMilliseconds = 10
    /// Whether the peer's socket is looked at each time; else it is every other time.
    private var isProbing = false
    private var isProbeDue = false
    var effectiveSendBuffer: Int?
    private var lastError: String?
    /// Whether the peer greeted as libkrun does.
    var usedMagic = false
    /// The data plane is at rest.
    var isSuspended = false
    /// The peer came with the port from a predecessor, and does not forward yet.
    var isInherited = false
    private var isReopening = false
    private var isClosing = false
    private let retired = Gate()
    private let closed = Gate()
    var peerWarnings: [UnixgramWarning] = []

    init(
        _ id: PortID, _ configuration: PortConfiguration, _ settings: PortConfiguration.Unixgram,
        host: any PortHost
    ) {
        self.id = id
        self.configuration = configuration
        self.settings = settings
        self.host = host
    }

    func open() throws(PortError) {
        listener = try UnixgramListener.listen(
            path: settings.path, mode: settings.mode, owner: settings.owner, group: settings.group)
        listen()
    }

    // MARK: Listening

    func listen() {
        guard let listener else { return }
        stage = .listening
        readable = ReadSource(descriptor: listener.descriptor) { [weak self] in
            self?.acceptPeer()
        }
    }

    /// - Parameter isSearch: whether a peer that says nothing is looked for as well.
    private func acceptPeer(isSearch: Bool = false) {
        guard case .listening = stage, !isSuspended, let listener else { return }
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
        count(outcome.counts)
        for refusal in outcome.refusals {
            lastError = refusal.description
            host.log(.warning, refusal.description, port: configuration.name)
            host.tell(
                .connectionRefused(
                    configuration.name,
                    PeerStatus(uid: refusal.uid, address: "\(refusal.address)"),
                    reason: refusal.description))
        }
        if let stranger = outcome.foreignPeer {
            host.log(
                .warning, "dropped frames of a second peer, \(stranger.summary): one peer a port",
                port: configuration.name)
        }
        if let attachment = outcome.attachment { attach(attachment) }
    }

    /// What ends in the handshake never reaches the worker: it is received and dropped here, so
    /// that the books balance.
    private func count(_ counts: HandshakeCounts) {
        host.count(id, .handshakes, UInt64(counts.magic))
        host.count(id, .receivedFrames, UInt64(counts.droppedFrames))
        host.count(id, .receivedBytes, UInt64(counts.droppedBytes))
        host.count(id, dropped: .runt, UInt64(counts.runts))
        host.count(id, dropped: .foreign, UInt64(counts.foreign))
        host.count(id, dropped: .oversize, UInt64(counts.oversize))
        host.count(id, dropped: .handoverFull, UInt64(counts.handoverFull))
    }

    private func attach(_ attachment: UnixgramAttachment) {
        guard let listener else { return }
        readable?.cancel()
        search?.cancel()
        do throws(PortError) {
            var connection = connectionSettings(listener)
            connection.earlyFrames = attachment.frames
            let generation = try host.attach(connection)
            usedMagic = attachment.usedMagic
            stage = .attached(attachment.peer, generation: generation)
        } catch {
            countUnserved(
                frames: attachment.frames.count,
                bytes: attachment.frames.reduce(0) { $0 + $1.count })
            stage = .paused
            note(error.description)
            host.tell(
                .connectionRefused(
                    configuration.name, Self.status(of: attachment.peer), reason: error.description)
            )
            return
        }
        effectiveSendBuffer = attachment.effectiveSendBuffer
        peerWarnings = attachment.warnings
        if attachment.usedMagic, configuration.pausesOnCongestion {
            peerWarnings.append(.pausedLibkrun)
        }
        watch(attachment.peer)
    }

    /// What the data plane is to know of the peer behind the socket.
    func connectionSettings(_ listener: UnixgramListener) -> ConnectionSettings {
        ConnectionSettings(
            port: id, transport: .unixgram, descriptor: listener.descriptor,
            frameLengthMax: configuration.maxFrame, offload: configuration.offload,
            queueBytes: configuration.queueBytes, queueDiscipline: configuration.queueDiscipline,
            queueDelayNanoseconds: UInt64(configuration.queueDelayNanoseconds),
            pausesOnCongestion: configuration.pausesOnCongestion)
    }

    // MARK: Attached

    func watch(_ peer: UnixgramPeer) {
        guard let process = peer.process else {
            isProbing = true
            return
        }
        // The handle closes its descriptor, so the source keeps it.
        processEnd = ReadSource(descriptor: process.descriptor, keeping: process) { [weak self] in
            self?.processEnded()
        }
    }

    private func processEnded() {
        processEnd?.cancel()
        processEnd = nil
        guard case .attached = stage else { return }
        isProbing = true
        askPeer()
    }

    private func askPeer() {
        guard case .attached(let peer, _) = stage, !isSuspended, let listener else { return }
        if case .dead(let reason) = listener.probe(peer) { leave(reason) }
    }

    private func leave(_ reason: String) {
        guard case .attached(let peer, _) = stage else { return }
        host.log(.info, "detached \(peer.summary): \(reason)", port: configuration.name)
        host.tell(.connectionClosed(configuration.name, Self.status(of: peer), reason: reason))
        detach(isRefused: false)
    }

    private func detach(isRefused: Bool) {
        isProbing = false
        processEnd?.cancel()
        processEnd = nil
        stage = .leaving(isRefused: isRefused)
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
            let verb = isInherited ? "took over" : "attached"
            host.log(.info, "\(verb) \(peer.summary)", port: configuration.name)
            guard !isInherited else {
                isInherited = false
                return
            }
            host.tell(.connectionEstablished(configuration.name, Self.status(of: peer)))
        case .activationFailed:
            isInherited = false
            let reason = ringRefusal(event.errno, of: "the port's socket")
            note("\(peer.summary) is not attached: " + reason)
            host.tell(.connectionRefused(configuration.name, Self.status(of: peer), reason: reason))
            detach(isRefused: true)
        case .peerGone:
            leave(SystemText.reason(event.errno))
        case .retired:
            break
        }
    }

    private func becomeRetired() {
        guard case .leaving(let isRefused) = stage else { return }
        effectiveSendBuffer = nil
        peerWarnings = []
        if isClosing {
            retired.open()
        } else if isRefused {
            stage = .paused
        } else {
            listenAgain()
        }
    }

    private func listenAgain() {
        guard let listener else { return }
        do throws(PortError) {
            let leftover = try listener.listenAgain()
            countUnserved(frames: leftover.frames, bytes: leftover.bytes)
            listen()
            search = Timer(afterMilliseconds: Self.searchDelayMilliseconds) { [weak self] in
                self?.acceptPeer(isSearch: true)
            }
        } catch {
            fail(error)
        }
    }

    /// Counts frames that a peer sent and nobody could take.
    func countUnserved(frames: Int, bytes: Int) {
        host.count(id, .receivedFrames, UInt64(frames))
        host.count(id, .receivedBytes, UInt64(bytes))
        host.count(id, dropped: .noPeer, UInt64(frames))
    }

    // MARK: Mending

    func tend() {
        guard !isClosing else { return }
        switch stage {
        case .attached:
            isProbeDue.toggle()
            if isProbing || isProbeDue { askPeer() }
        case .paused:
            listenAgain()
        case .listening:
            guard listener?.isReachable == false else { return }
            let reason = "somebody removed the socket \(settings.path): making it anew"
            host.log(.warning, reason, port: configuration.name)
            host.tell(.portFailed(configuration.name, reason: reason))
            stage = .failed
            Task { await openAgain() }
        case .failed:
            Task { await openAgain() }
        case .closed, .leaving:
            break
        }
    }

    /// Takes the port out of use until it can be opened again.
    func fail(_ error: PortError) {
        readable?.cancel()
        stage = .failed
        note(error.description)
        host.tell(.portFailed(configuration.name, reason: error.description))
    }

    private func openAgain() async {
        guard !isReopening else { return }
        isReopening = true
        defer { isReopening = false }
        await release()
        guard !isClosing, case .failed = stage else { return }
        do throws(PortError) {
            try open()
            lastError = nil
            host.log(.info, "listening on \(settings.path) again", port: configuration.name)
            host.tell(.portRestored(configuration.name))
        } catch {
            note(error.description)
        }
    }

    /// Keeps an error for `status`, and logs it unless that was the last word.
    private func note(_ message: String) {
        guard message != lastError else { return }
        lastError = message
        host.log(.error, message, port: configuration.name)
    }

    // MARK: Changing

    func adapt(to next: PortConfiguration) throws(PortError) {
        guard case .unixgram(let wanted) = next.kind else { preconditionFailure("another type") }
        if wanted.access != settings.access {
            try listener?.setAccess(wanted.access, from: settings.access)
        }
        var granted: Int?
        if wanted.sendBuffer != settings.sendBuffer, case .attached = stage, let listener {
            let effective = try listener.setSendBuffer(wanted.sendBuffer)
            granted = effective
            effectiveSendBuffer = effective
            peerWarnings.removeAll { if case .sendBuffer = $0 { true } else { false } }
            if effective < wanted.sendBuffer {
                peerWarnings.append(
                    .sendBuffer(asked: wanted.sendBuffer, effective: effective))
            }
        }
        let changed = next.liveSettings(sendBuffer: granted)
        if changed != configuration.liveSettings() { host.change(id, to: changed) }
        (configuration, settings) = (next, wanted)
    }

    // MARK: Closing

    func close() async {
        guard !isClosing else {
            await closed.wait()
            return
        }
        isClosing = true
        readable?.cancel()
        search?.cancel()
        if case .attached = stage { leave("the port is closed") }
        if case .leaving = stage { await retired.wait() }
        await release()
        stage = .closed
        closed.open()
    }

    /// Closes the socket, once nothing watches it any more.
    private func release() async {
        await readable?.end()
        readable = nil
        listener?.close()
        listener = nil
    }

    // MARK: Reports

    func describe(into status: inout PortStatus) {
        status.path = settings.path
        status.since = since
        status.effectiveSendBuffer = effectiveSendBuffer
        status.lastError = lastError
        switch stage {
        case .closed, .failed: status.state = .failed
        case .listening, .leaving, .paused: status.state = .listening
        case .attached(let peer, _):
            status.state = .attached
            status.peer = Self.status(of: peer)
        }
    }

    private static func status(of peer: UnixgramPeer) -> PeerStatus {
        PeerStatus(pid: peer.pid, uid: peer.uid, command: peer.command, address: "\(peer.address)")
    }

    var warnings: [String] { peerWarnings.map { "\(configuration.name): \($0)" } }
}
