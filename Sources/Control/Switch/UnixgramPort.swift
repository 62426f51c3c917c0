// A port that listens on a socket path and takes one peer at a time.
//
//     closed --open--> listening --first datagram--> attached --peer gone--> leaving --retired--> listening
//                                                       `------close-------> leaving --retired--> closed
//
// While it listens, Control reads the socket; while a peer is attached, the worker does. A peer's end is noticed by
// the pidfd that came with its handshake. A readable pidfd is a hint (a launcher may end while its child keeps the
// socket), so the peer's address is asked before the peer is given up; from then on, and where there is no pidfd, it is
// asked once a second. A failed send tells as well.

internal import CShimsSystem
internal import Dataplane
internal import Foundation
internal import Glibc
internal import SwitchCore

/// A `unixgram` port.
@ControlActor
final class UnixgramPort: ManagedPort {
    private enum Stage {
        case closed, listening
        case attached(UnixgramPeer, generation: UInt32)
        case leaving(reason: String)
    }

    let id: PortID
    let configuration: PortConfiguration
    private let settings: PortConfiguration.Unixgram
    private unowned let host: any PortHost
    private var listener: UnixgramListener?
    private var stage = Stage.closed { didSet { since = Date() } }
    private var since = Date()
    private var readable: ReadSource?
    private var processEnd: ReadSource?
    private var probe: Timer?
    private var effectiveSendBuffer: Int?
    private var lastError: String?
    private var closing: CheckedContinuation<Void, Never>?
    private var isClosing = false
    private var peerWarnings: [UnixgramWarning] = []

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

    private func listen() {
        guard let listener else { return }
        stage = .listening
        readable = ReadSource(descriptor: listener.descriptor) { [unowned self] in acceptPeer() }
    }

    private func acceptPeer() {
        guard case .listening = stage, let listener else { return }
        let outcome: HandshakeOutcome
        do throws(PortError) {
            outcome = try listener.accept(
                HandshakeRules(
                    allowUIDs: settings.allowUIDs, sendBuffer: settings.sendBuffer,
                    frameLengthMax: configuration.maxFrame))
        } catch {
            fail(error)
            return
        }
        count(outcome.counts)
        for refusal in outcome.refusals {
            lastError = refusal.description
            host.log(.warning, refusal.description, port: configuration.name)
        }
        if let stranger = outcome.foreignPeer {
            host.log(
                .warning, "dropped frames of a second peer, \(stranger.summary): one peer a port",
                port: configuration.name)
        }
        if let attachment = outcome.attachment { attach(attachment) }
    }

    /// What ends in the handshake never reaches the worker: it is received and dropped here, so that the books balance.
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
        let peer = attachment.peer
        readable?.cancel()
        readable = nil
        do throws(PortError) {
            let generation = try host.attach(
                ConnectionSettings(
                    port: id, transport: .unixgram, descriptor: listener.descriptor,
                    frameLengthMax: configuration.maxFrame, queueBytes: configuration.queueBytes,
                    queueDelayNanoseconds: UInt64(configuration.queueDelayNanoseconds),
                    earlyFrames: attachment.frames))
            stage = .attached(peer, generation: generation)
        } catch {
            note(error)
            listenAgain()
            return
        }
        effectiveSendBuffer = attachment.effectiveSendBuffer
        peerWarnings = attachment.warnings
        lastError = nil
        host.log(.info, "attached \(peer.summary)", port: configuration.name)
        watch(peer)
    }

    // MARK: Attached

    private func watch(_ peer: UnixgramPeer) {
        if let process = peer.process {
            processEnd = ReadSource(descriptor: process.descriptor) { [unowned self] in processEnded() }
        } else {
            startProbing()
        }
    }

    private func processEnded() {
        guard case .attached(let peer, _) = stage else { return }
        processEnd?.cancel { _ = peer }
        processEnd = nil
        askPeer()
        if case .attached = stage { startProbing() }
    }

    private func startProbing() {
        probe = Timer(everyMilliseconds: 1000) { [unowned self] in askPeer() }
    }

    private func askPeer() {
        guard case .attached(let peer, _) = stage, let listener else { return }
        if case .dead(let reason) = listener.probe(peer) { leave(reason) }
    }

    private func leave(_ reason: String) {
        guard case .attached(let peer, _) = stage else { return }
        probe?.cancel()
        probe = nil
        // The handle closes its descriptor, which must not happen before the source has let go of it.
        processEnd?.cancel { _ = peer }
        processEnd = nil
        host.log(.info, "detached \(peer.summary): \(reason)", port: configuration.name)
        stage = .leaving(reason: reason)
        host.detach(id)
    }

    func handle(_ event: DataPlaneEvent) {
        switch event.kind {
        case .activated: break
        case .activationFailed:
            lastError = "the ring refused the socket: \(reason(event.errno))"
            host.log(.error, lastError ?? "", port: configuration.name)
            leave("it could not be activated")
        case .peerGone:
            guard case .attached(_, let generation) = stage, generation == event.generation else { return }
            leave(reason(event.errno))
        case .retired:
            effectiveSendBuffer = nil
            peerWarnings = []
            if isClosing { finishClosing() } else { listenAgain() }
        }
    }

    private func listenAgain() {
        guard let listener else { return }
        do throws(PortError) {
            let leftover = try listener.listenAgain()
            host.count(id, .receivedFrames, UInt64(leftover.frames))
            host.count(id, .receivedBytes, UInt64(leftover.bytes))
            host.count(id, dropped: .noPeer, UInt64(leftover.frames))
            listen()
        } catch {
            fail(error)
        }
    }

    /// Takes the port out of use; a reload brings it back.
    private func fail(_ error: PortError) {
        readable?.cancel()
        readable = nil
        stage = .closed
        note(error)
    }

    private func note(_ error: PortError) {
        lastError = error.description
        host.log(.error, error.description, port: configuration.name)
    }

    private func reason(_ error: Int32) -> String { String(cString: strerror(error)) }

    // MARK: Closing

    func close() async {
        isClosing = true
        readable?.cancel()
        readable = nil
        if case .attached = stage { leave("the port is closed") }
        if case .leaving = stage {
            await withCheckedContinuation { closing = $0 }
        } else {
            finishClosing()
        }
    }

    private func finishClosing() {
        stage = .closed
        listener?.close()
        listener = nil
        closing?.resume()
        closing = nil
    }

    // MARK: Reports

    func describe(into status: inout PortStatus) {
        status.path = settings.path
        status.since = since
        status.effectiveSendBuffer = effectiveSendBuffer
        status.lastError = lastError
        switch stage {
        case .closed: status.state = .failed
        case .listening, .leaving: status.state = .listening
        case .attached(let peer, _):
            status.state = .attached
            status.peer = PeerStatus(
                pid: peer.pid, uid: peer.uid, command: peer.command, address: "\(peer.address)")
        }
    }

    var warnings: [String] { peerWarnings.map { "\(configuration.name): \($0)" } }
}
