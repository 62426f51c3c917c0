// A port on a socket that has connections: `stream`, `seqpacket`, `vpnkit`.
//
// A port that listens has its connections from a listener, which it may share with other ports; one
// that connects tries to reach its peer again and again (Redial.swift). Only `vpnkit` has a
// greeting, which is Control's: the port waits still, but is not free. While a peer is attached the
// worker reads and writes, and it is the worker that meets the end of the connection: whatever ends
// it has a name (PeerEnding).

internal import CShimsSystem
internal import Dataplane
internal import Glibc
internal import SwitchCore

/// A `stream`, `seqpacket` or `vpnkit` port.
@ControlActor
final class StreamPort: PeerPort {
    let life: PortLife<StreamConnection>
    private(set) var settings: PortConfiguration.Stream
    var listener: StreamListener?
    private var listenerFailure: PortError?
    private let redial = Redial()
    private var greeting: Greeting?
    private static let greetingMilliseconds = 5000

    /// A connection whose peer has not said yet what it wants.
    private struct Greeting {
        let connection: StreamConnection
        var handshake: VpnkitHandshake
        let readable: ReadSource
        let limit: Timer
    }

    init(
        _ id: PortID, _ configuration: PortConfiguration, _ settings: PortConfiguration.Stream,
        host: any PortHost
    ) {
        life = PortLife(id, configuration, host: host)
        self.settings = settings
    }

    var path: String? { settings.path }
    var idleState: PortStatus.State {
        listenerFailure != nil ? .failed : settings.connects ? .connecting : .listening
    }

    func open() throws(PortError) {
        guard !life.isClosing else { throw .refused("the port is being closed") }
        life.stage = .waiting
        guard !settings.connects else { return dial() }
        do throws(PortError) {
            try joinListener()
        } catch {
            life.stage = .closed
            throw error
        }
    }

    /// Waits for clients of the port's path.
    func joinListener() throws(PortError) {
        listener = try host.streamListeners.join(
            self, path: settings.path, socketType: settings.transport.socketType,
            access: settings.access, isShared: settings.isShared)
    }

    /// The same; what fails is tried again when the port is tended.
    func joinListenerAgain() {
        do throws(PortError) {
            try joinListener()
            listenerChanged(nil)
        } catch {
            listenerChanged(error)
        }
    }

    // MARK: Connecting

    /// Tries to reach the peer.
    func dial() {
        guard !life.isClosing, !life.isSuspended, case .waiting = life.stage else { return }
        let descriptor = cshims_socket_create(settings.transport.socketType)
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
        life.note(
            "cannot connect to \(settings.path.printable): \(SystemText.reason(code))", .info)
        scheduleDial()
    }

    private func scheduleDial() { redial.schedule { [weak self] in self?.dial() } }

    // MARK: Greeting

    private func greet(_ connection: StreamConnection) {
        let readable = ReadSource(descriptor: connection.descriptor, keeping: Kept(connection)) {
            [weak self] in self?.advanceGreeting()
        }
        let limit = Timer(afterMilliseconds: Self.greetingMilliseconds) { [weak self] in
            self?.endGreeting("it did not greet within 5 seconds", isFault: true)
        }
        greeting = Greeting(
            connection: connection,
            handshake: VpnkitHandshake(
                portName: configuration.name, maxFrame: configuration.maxFrame),
            readable: readable, limit: limit)
    }

    private func advanceGreeting() {
        guard let connection = greeting?.connection else { return }
        switch greeting?.handshake.advance(connection.descriptor) {
        case .waiting, nil: break
        case .failed(let reason): endGreeting(reason, isFault: true)
        case .done:
            host.count(id, .handshakes, 1)
            forgetGreeting()
            attach(connection)
        }
    }

    func suspendGreeting() { greeting?.readable.suspend() }

    func resumeGreeting() { greeting?.readable.resume() }

    private func forgetGreeting() {
        greeting?.readable.cancel()
        greeting?.limit.cancel()
        greeting = nil
    }

    /// - Parameter isFault: whether the peer did what it must not.
    private func endGreeting(_ reason: String, isFault: Bool = false) {
        guard let connection = greeting?.connection else { return }
        if isFault { host.count(id, .peerFaults, 1) }
        forgetGreeting()
        // The source keeps the connection, which is closed with it.
        shutdown(connection.descriptor, Int32(SHUT_RDWR))
        refused(connection, reason)
        waitAgain(isRefused: false)
    }

    // MARK: Attached

    private func attach(_ connection: StreamConnection) {
        do throws(PortError) {
            let effective = try connection.setSendBuffer(settings.sendBuffer)
            try life.attach(
                connection, life.connection(settings.transport.transportKind, connection.descriptor)
            )
            life.showSendBuffer(effective, asked: settings.sendBuffer)
        } catch {
            life.stage = .paused
            connection.close()
            refused(connection, error.description)
        }
    }

    func peerLeaves() { redial.connectionEnded(since: life.since) }

    func letGo(of peer: StreamConnection) { peer.close() }

    func waitAgain(isRefused: Bool) {
        guard !isRefused else {
            life.stage = .paused
            return
        }
        guard !life.isClosing else { return }
        if settings.connects { scheduleDial() } else { listener?.becameFree() }
    }

    func tend() {
        guard !life.isClosing else { return }
        if listener == nil, !settings.connects, case .waiting = life.stage { joinListenerAgain() }
        listener?.tend()
        if case .paused = life.stage {
            life.stage = .waiting
            waitAgain(isRefused: false)
        }
    }

    // MARK: Changing

    func adapt(to next: PortConfiguration) throws(PortError) {
        guard case .stream(let wanted) = next.kind else { preconditionFailure("another type") }
        if wanted.access != settings.access { try listener?.setAccess(wanted.access) }
        try life.change(to: next, sendBuffer: wanted.sendBuffer, from: settings.sendBuffer) {
            peer throws(PortError) in try peer.setSendBuffer(wanted.sendBuffer)
        }
        settings = wanted
    }

    // MARK: Closing

    func stopWaiting() {
        redial.cancel()
        endGreeting("the port is closed")
    }

    func release() async {
        if let listener { await host.streamListeners.leave(self, listener) }
        listener = nil
    }
}

extension StreamPort: StreamTaker {
    var isFree: Bool {
        guard case .waiting = life.stage, greeting == nil else { return false }
        return !life.isClosing && !life.isSuspended
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
        life.note("refused \(client.summary): \(reason)", .warning)
        tellRefused(client, reason)
    }

    func listenerChanged(_ failure: PortError?) {
        host.stateChanged()
        let hasChanged = failure != listenerFailure
        listenerFailure = failure
        guard hasChanged else { return }
        if let failure {
            life.note(failure.description, .error)
            host.tell(.portFailed(configuration.name, reason: failure.description))
        } else {
            tellRestored()
        }
    }
}

extension StreamConnection: PortPeer {}

extension PortType {
    /// Sort of socket that has the frames of such a port.
    var socketType: Int32 {
        Int32(self == .seqpacket ? SOCK_SEQPACKET.rawValue : SOCK_STREAM.rawValue)
    }

    var transportKind: TransportKind {
        switch self {
        case .seqpacket: .seqpacket
        case .vpnkit: .vpnkit
        default: .stream
        }
    }
}

/// Keeps a connection for as long as a source watches it.
private final class Kept: @unchecked Sendable {
    // Sendable: nobody looks inside; the last reference goes on the control actor's queue.
    private let connection: StreamConnection
    init(_ connection: StreamConnection) { self.connection = connection }
}
