// A port on a socket that has connections: `stream`, `seqpacket`, `vpnkit`.
//
//     closed --open--> waiting --connection--> greeting --> attached
//
//     attached --peer gone--> leaving --retired--> waiting
//        |-------refused----> leaving --retired--> paused
//        `-------close------> leaving --retired--> closed
//
// A port that listens has its connections from a listener, which it may share with other ports; one
// that connects tries to reach its peer again and again, at growing intervals. Only `vpnkit` has a
// greeting, which is Control's. While a peer is attached the worker reads and writes, and it is the
// worker that meets the end of the connection: whatever ends it has a name (PeerEnding).

internal import CShimsSystem
internal import Dataplane
internal import Foundation
internal import Glibc
internal import SwitchCore

/// A `stream`, `seqpacket` or `vpnkit` port.
@ControlActor
final class StreamPort: PortOpenedAnew {
    private enum Stage {
        case closed, waiting, paused
        case greeting(StreamConnection)
        case attached(StreamConnection, generation: UInt32)
        case leaving(StreamConnection, isRefused: Bool)
    }

    let id: PortID
    private(set) var configuration: PortConfiguration
    private var settings: PortConfiguration.Stream
    private unowned let host: any PortHost
    private var listener: StreamListener?
    private var stage = Stage.closed { didSet { since = Date() } }
    private var since = Date()
    private var listenerFailure: PortError?
    private var lastError: String?
    private var effectiveSendBuffer: Int?
    private var bufferWarning: UnixgramWarning?
    private var isClosing = false
    private let retired = Gate()
    private let closed = Gate()

    private var greeting: (handshake: VpnkitHandshake, readable: ReadSource, limit: Timer)?
    private static let greetingMilliseconds = 5000

    private var retry: Timer?
    private var retryMilliseconds = StreamPort.retryLeast
    private static let retryLeast = 100
    private static let retryMost = 5000
    /// A connection that lasted for so long was one: the next try comes soon.
    private static let lastingSeconds = 1.0

    init(
        _ id: PortID, _ configuration: PortConfiguration, _ settings: PortConfiguration.Stream,
        host: any PortHost
    ) {
        self.id = id
        self.configuration = configuration
        self.settings = settings
        self.host = host
    }

    func open() throws(PortError) {
        guard !isClosing else { throw .refused("the port is being closed") }
        stage = .waiting
        guard !settings.connects else { return dial() }
        do throws(PortError) {
            listener = try host.streamListeners.join(
                self, path: settings.path, socketType: socketType, access: settings.access,
                isShared: settings.isShared)
        } catch {
            stage = .closed
            throw error
        }
    }

    private var socketType: Int32 {
        settings.transport == .seqpacket
            ? Int32(SOCK_SEQPACKET.rawValue) : Int32(SOCK_STREAM.rawValue)
    }

    private var transport: TransportKind {
        switch settings.transport {
        case .seqpacket: .seqpacket
        case .vpnkit: .vpnkit
        default: .stream
        }
    }

    // MARK: Connecting

    /// Tries to reach the peer.
    private func dial() {
        retry = nil
        guard !isClosing, case .waiting = stage else { return }
        let descriptor = cshims_socket_create(socketType)
        guard descriptor >= 0 else { return dialLater(-descriptor) }
        _ = cshims_socket_set_pass_rights(descriptor, false)
        // A UNIX socket connects at once or not at all.
        let result = cshims_socket_connect_path(descriptor, settings.path)
        guard result >= 0 else {
            _ = cshims_descriptor_close(descriptor)
            return dialLater(-result)
        }
        let connection = StreamConnection(adopting: descriptor)
        if let objection = objection(to: connection) {
            connection.close()
            refused(connection, objection)
            return scheduleDial()
        }
        take(connection)
    }

    private func dialLater(_ code: Int32) {
        note("cannot connect to \(settings.path.printable): \(SystemText.reason(code))", .info)
        scheduleDial()
    }

    private func scheduleDial() {
        retry?.cancel()
        retry = Timer(afterMilliseconds: retryMilliseconds) { [weak self] in self?.dial() }
        retryMilliseconds = min(2 * retryMilliseconds, Self.retryMost)
    }

    // MARK: Greeting

    private func greet(_ connection: StreamConnection) {
        stage = .greeting(connection)
        let readable = ReadSource(descriptor: connection.descriptor, keeping: Kept(connection)) {
            [weak self] in self?.advanceGreeting()
        }
        let limit = Timer(afterMilliseconds: Self.greetingMilliseconds) { [weak self] in
            self?.endGreeting("it did not greet within 5 seconds")
        }
        let handshake = VpnkitHandshake(
            portName: configuration.name, maxFrame: configuration.maxFrame)
        greeting = (handshake, readable, limit)
    }

    private func advanceGreeting() {
        guard case .greeting(let connection) = stage else { return }
        switch greeting?.handshake.advance(connection.descriptor) {
        case .waiting, nil: break
        case .failed(let reason): endGreeting(reason)
        case .done:
            host.count(id, .handshakes, 1)
            forgetGreeting()
            attach(connection)
        }
    }

    private func forgetGreeting() {
        greeting?.readable.cancel()
        greeting?.limit.cancel()
        greeting = nil
    }

    private func endGreeting(_ reason: String) {
        guard case .greeting(let connection) = stage else { return }
        host.count(id, .peerFaults, 1)
        forgetGreeting()
        // The source keeps the connection, which is closed with it.
        stage = .waiting
        shutdown(connection.descriptor, Int32(SHUT_RDWR))
        refused(connection, reason)
        listener?.becameFree()
    }

    // MARK: Attached

    private func attach(_ connection: StreamConnection) {
        do throws(PortError) {
            let effective = try connection.setSendBuffer(settings.sendBuffer)
            let generation = try host.attach(
                ConnectionSettings(
                    port: id, transport: transport, descriptor: connection.descriptor,
                    frameLengthMax: configuration.maxFrame, offload: configuration.offload,
                    queueBytes: configuration.queueBytes,
                    queueDiscipline: configuration.queueDiscipline,
                    queueDelayNanoseconds: UInt64(configuration.queueDelayNanoseconds),
                    pausesOnCongestion: configuration.pausesOnCongestion))
            stage = .attached(connection, generation: generation)
            showSendBuffer(effective)
        } catch {
            stage = .paused
            connection.close()
            refused(connection, error.description)
        }
    }

    private func showSendBuffer(_ effective: Int) {
        effectiveSendBuffer = effective
        bufferWarning =
            effective < settings.sendBuffer
            ? .sendBuffer(asked: settings.sendBuffer, effective: effective) : nil
    }

    func handle(_ event: DataPlaneEvent) {
        if event.kind == .retired { return becomeRetired() }
        guard case .attached(let peer, let generation) = stage, generation == event.generation
        else { return }
        switch event.kind {
        case .activated:
            lastError = nil
            host.log(.info, "attached \(peer.summary)", port: configuration.name)
            host.tell(.connectionEstablished(configuration.name, peer.status))
        case .activationFailed:
            refused(peer, ringRefusal(event.errno, of: "the port's socket"))
            detach(peer, isRefused: true)
        case .peerGone:
            let reason = event.ending.reason(event.errno)
            if event.ending.isFault { lastError = "detached \(peer.summary): \(reason)" }
            leave(reason, isFault: event.ending.isFault)
        case .retired: break
        }
    }

    private func leave(_ reason: String, isFault: Bool = false) {
        guard case .attached(let peer, _) = stage else { return }
        host.log(
            isFault ? .warning : .info, "detached \(peer.summary): \(reason)",
            port: configuration.name)
        host.tell(.connectionClosed(configuration.name, peer.status, reason: reason))
        let isLasting = Date().timeIntervalSince(since) >= Self.lastingSeconds
        if isLasting { retryMilliseconds = Self.retryLeast }
        detach(peer, isRefused: false)
    }

    private func detach(_ peer: StreamConnection, isRefused: Bool) {
        stage = .leaving(peer, isRefused: isRefused)
        host.detach(id)
    }

    private func becomeRetired() {
        guard case .leaving(let peer, let isRefused) = stage else { return }
        peer.close()
        effectiveSendBuffer = nil
        bufferWarning = nil
        guard !isClosing else { return retired.open() }
        stage = isRefused ? .paused : .waiting
        if !isRefused { waitAgain() }
    }

    private func waitAgain() {
        if settings.connects { scheduleDial() } else { listener?.becameFree() }
    }

    func tend() {
        guard !isClosing else { return }
        listener?.tend()
        if case .paused = stage {
            stage = .waiting
            waitAgain()
        }
    }

    /// Keeps an error for `status`, and logs it unless that was the last word.
    func note(_ message: String, _ level: PortLogLevel) {
        guard message != lastError else { return }
        lastError = message
        host.log(level, message, port: configuration.name)
    }

    // MARK: Changing

    func adapt(to next: PortConfiguration) throws(PortError) {
        guard case .stream(let wanted) = next.kind else { preconditionFailure("another type") }
        if wanted.access != settings.access { try listener?.setAccess(wanted.access) }
        var granted: Int?
        if wanted.sendBuffer != settings.sendBuffer, case .attached(let peer, _) = stage {
            granted = try peer.setSendBuffer(wanted.sendBuffer)
        }
        let changed = next.liveSettings(sendBuffer: granted)
        if changed != configuration.liveSettings() { host.change(id, to: changed) }
        (configuration, settings) = (next, wanted)
        if let granted { showSendBuffer(granted) }
    }

    // MARK: Closing

    func close() async {
        guard !isClosing else { return await closed.wait() }
        isClosing = true
        retry?.cancel()
        if case .greeting = stage { endGreeting("the port is closed") }
        if case .attached = stage { leave("the port is closed") }
        if case .leaving = stage { await retired.wait() }
        if let listener { await host.streamListeners.leave(self, listener) }
        listener = nil
        stage = .closed
        closed.open()
    }

    // MARK: Reports

    func describe(into status: inout PortStatus) {
        status.path = settings.path
        status.since = since
        status.effectiveSendBuffer = effectiveSendBuffer
        status.lastError = lastError
        let isIdle = settings.connects ? PortStatus.State.connecting : .listening
        switch stage {
        case .closed: status.state = .failed
        case .waiting, .leaving, .paused, .greeting:
            status.state = listenerFailure == nil ? isIdle : .failed
        case .attached(let peer, _):
            status.state = .attached
            status.peer = peer.status
        }
    }

    var warnings: [String] { bufferWarning.map { ["\(configuration.name): \($0)"] } ?? [] }
}

extension StreamPort: StreamTaker {
    var isFree: Bool {
        if case .waiting = stage { return !isClosing }
        return false
    }

    func objection(to client: StreamConnection) -> String? {
        guard !settings.allowUIDs.isEmpty else { return nil }
        guard let uid = client.uid else { return "the kernel does not tell its user" }
        guard !settings.allowUIDs.contains(uid) else { return nil }
        let allowed = settings.allowUIDs.map(String.init).joined(separator: ", ")
        return "uid \(uid) is not in allow_uids (\(allowed))"
    }

    func take(_ client: StreamConnection) {
        if settings.transport == .vpnkit { greet(client) } else { attach(client) }
    }

    func refused(_ client: StreamConnection, _ reason: String) {
        note("refused \(client.summary): \(reason)", .warning)
        host.tell(.connectionRefused(configuration.name, client.status, reason: reason))
    }

    func listenerChanged(_ failure: PortError?) {
        let hasChanged = failure != listenerFailure
        listenerFailure = failure
        guard hasChanged else { return }
        if let failure {
            note(failure.description, .error)
            host.tell(.portFailed(configuration.name, reason: failure.description))
        } else {
            lastError = nil
            host.log(.info, "listening on \(settings.path) again", port: configuration.name)
            host.tell(.portRestored(configuration.name))
        }
    }
}

/// Keeps a connection for as long as a source watches it.
private final class Kept: @unchecked Sendable {
    // Sendable: nobody looks inside; the last reference goes on the control actor's queue.
    private let connection: StreamConnection
    init(_ connection: StreamConnection) { self.connection = connection }
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
