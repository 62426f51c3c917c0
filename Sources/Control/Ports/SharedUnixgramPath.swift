// A socket path that many VMs attach at, and the ports that they are given to.
//
// Theory of operation. The ports of a shared path have no socket of their own while they are free.
// One socket listens at the path for all of them. When somebody has connected and sent,
//
//   1. another socket takes its place at the path, so the path always has a listener, and nobody
//      new comes to the one that is about to be given away;
//   2. the kernel's table (sock_diag) is asked who is connected to it;
//   3. a single client is taken as at a port of its own: the socket is connected back to it, and
//      goes to the first free port;
//   4. several, which had connected in one instant, share the socket through a relay
//      (UnixgramRelay.swift), each at a port of its own.
//
// Without the question of step 2 all clients of step 4 but one would be refused for ever. What is
// left is a client that found the old socket before step 1 and connects after step 3: it is refused
// by connect(), as at a taken port. That is the time of one path look-up.
//
// A sender that does not connect (QEMU with remote.path) sends every frame to whatever socket the
// path leads to then, and would be a newcomer with each. It is told to take a path of its own, or a
// descriptor.
//
// Where no port is free, clients are left waiting in the socket until one is.

internal import CShimsSystem
internal import Foundation
internal import SwitchCore

/// The listening socket of ports that share a path.
@ControlActor
final class SharedUnixgramPath {
    let path: String
    private(set) var access: SocketAccess
    private(set) var listener: UnixgramListener?
    private var readable: ReadSource?
    private var ports: [SharedUnixgramPort] = []
    private var relays: [RelayedSocket] = []
    private var search: Timer?
    private var failure: String?
    /// Nobody is taken.
    private var isSuspended = false
    /// Refusals told since somebody was attached.
    private var reported: Set<HandshakeRefusal> = []
    private static let reportedMax = 16
    /// The moment in which a client may still make itself known.
    private static let searchDelayMilliseconds = 10
    /// How long senders that do not connect are left alone.
    private static let restMilliseconds = 100

    /// A socket with a relay; open until the relay has ended.
    @ControlActor
    final class RelayedSocket {
        let listener: UnixgramListener
        var relay: UnixgramRelay?
        init(_ listener: UnixgramListener) { self.listener = listener }
    }

    init(path: String, access: SocketAccess) {
        self.path = path
        self.access = access
    }

    /// Whether no port is left.
    var isUnused: Bool { ports.isEmpty }

    /// Adds a port; the first one has the socket opened.
    func join(_ port: SharedUnixgramPort) throws(PortError) {
        if listener == nil {
            listener = try UnixgramListener.listen(
                path: path, mode: access.mode, owner: access.owner, group: access.group)
        }
        ports.append(port)
        watch()
    }

    /// Adds a port that goes on with what a predecessor had.
    func rejoin(_ port: SharedUnixgramPort) {
        ports.append(port)
        watch()
    }

    /// Takes over the listening socket of a predecessor.
    func adopt(_ listener: UnixgramListener) { self.listener = listener }

    /// Whether a port has been here longer than the others.
    func isFirst(_ port: SharedUnixgramPort) -> Bool { ports.first === port }

    /// Takes nobody, and carries nothing, until `resume`.
    func suspend() {
        guard !isSuspended else { return }
        isSuspended = true
        search?.cancel()
        readable?.suspend()
        for socket in relays {
            socket.relay?.suspend()
            countStrangers(of: socket)
        }
    }

    /// Goes on after `suspend`.
    func resume() {
        guard isSuspended else { return }
        isSuspended = false
        readable?.resume()
        for socket in relays { socket.relay?.resume() }
        lookLater()
    }

    /// Takes a port away; after the last one the socket is closed when this returns.
    func leave(_ port: SharedUnixgramPort) async {
        ports.removeAll { $0 === port }
        for socket in relays where ports.isEmpty || socket.relay?.addresses.isEmpty == true {
            endRelay(of: socket)
        }
        guard ports.isEmpty else { return }
        search?.cancel()
        await readable?.end()
        readable = nil
        listener?.close()
        listener = nil
    }

    /// Gives the socket's file another owner, group or mode.
    func setAccess(_ next: SocketAccess) throws(PortError) {
        guard next != access else { return }
        try listener?.setAccess(next, from: access)
        access = next
    }

    /// Says that a port is free again.
    func portIsFree() {
        for socket in relays { takeWaiting(of: socket) }
        watch()
        lookLater()
    }

    /// Mends what failed, looks for what was missed; once for all ports.
    func tend(by port: SharedUnixgramPort) {
        guard ports.first === port else { return }
        if listener?.isReachable != true, freePort != nil {
            ports.first?.life.note(
                "somebody removed the socket \(path): making it anew", .warning)
            succeed(at: nil)
        }
        for socket in relays { takeWaiting(of: socket) }
        watch()
    }

    // MARK: Listening

    private var freePort: SharedUnixgramPort? { ports.first { $0.isFree } }

    private func watch() {
        guard readable == nil, !isSuspended, let listener, freePort != nil else { return }
        readable = ReadSource(descriptor: listener.descriptor) { [weak self] in self?.accept() }
    }

    private func unwatch() {
        readable?.cancel()
        readable = nil
    }

    /// Somebody may be connected whose greeting went to a port that had just lost its peer.
    private func lookLater(_ milliseconds: Int = searchDelayMilliseconds) {
        search?.cancel()
        search = Timer(afterMilliseconds: milliseconds) { [weak self] in
            self?.accept()
            self?.watch()
        }
    }

    private func accept() {
        guard !isSuspended else { return }
        guard let listener, let first = freePort else { return unwatch() }
        guard let clients = listener.census() else {
            return fail("the kernel does not tell who is connected to \(path) (sock_diag)")
        }
        guard !clients.isEmpty else { return lookAtSenders(listener, at: first) }
        unwatch()
        guard succeed(at: listener) else { return }
        give(listener, to: first)
        watch()
    }

    /// Nobody is known to be connected. Clients of other network namespaces are not in the table:
    /// they are found by what they have sent. The others have gone, or send without connecting.
    private func lookAtSenders(_ listener: UnixgramListener, at port: SharedUnixgramPort) {
        let strangers = listener.readStrangers()
        port.life.count(strangers.counts)
        let clients = strangers.sources.filter {
            !$0.address.isUnbound && $0.address.connectError == EPERM
        }
        for source in strangers.sources where source.address.connectError == 0 {
            report(
                HandshakeRefusal(
                    reason: .notConnected, address: source.address, uid: source.uid,
                    summary: source.summary))
        }
        guard !strangers.sources.isEmpty else { return }
        unwatch()
        // Such senders send on; the others must not pay for looking at them.
        guard !clients.isEmpty else { return lookLater(Self.restMilliseconds) }
        guard succeed(at: listener) else { return }
        if clients.count == 1 {
            finish(listener, port) { rules throws(PortError) in
                try listener.attachKnown(clients[0], rules)
            }
        } else {
            relay(listener, clients.map { UnixgramClient(inode: 0, peer: $0) })
        }
        watch()
    }

    /// Puts another socket into the place of the listening one.
    @discardableResult
    private func succeed(at former: UnixgramListener?) -> Bool {
        do throws(PortError) {
            let next = try UnixgramListener.succeed(at: path, access)
            if former == nil {
                unwatch()
                listener?.close()
            }
            listener = next
            failure = nil
            ports.first?.host.stateChanged()
            return true
        } catch {
            fail(error.description)
            lookLater()
            return false
        }
    }

    // MARK: Giving

    /// Gives a socket that is no longer at the path to those who are connected to it.
    private func give(_ socket: UnixgramListener, to port: SharedUnixgramPort) {
        let clients = socket.census() ?? []
        guard clients.count == 1 else { return relay(socket, clients) }
        finish(socket, port) { rules throws(PortError) in
            var rules = rules
            rules.expected = clients[0].peer.address
            return try socket.acceptSilent(rules)
        }
    }

    private func finish(
        _ socket: UnixgramListener, _ port: SharedUnixgramPort,
        _ handshake: (HandshakeRules) throws(PortError) -> HandshakeOutcome
    ) {
        let outcome: HandshakeOutcome
        do throws(PortError) {
            outcome = try handshake(port.rules)
        } catch {
            socket.close()
            return fail(error.description)
        }
        port.life.count(outcome.counts)
        for refusal in outcome.refusals { report(refusal) }
        if let attachment = outcome.attachment {
            reported.removeAll()
            port.take(attachment, on: socket)
        } else {
            socket.close()
        }
    }

    private func relay(_ listener: UnixgramListener, _ clients: [UnixgramClient]) {
        guard !clients.isEmpty else { return listener.close() }
        let socket = makeRelay(on: listener)
        takeWaiting(of: socket, clients)
        socket.relay?.resume()
    }

    /// The relay of the socket with this file.
    func relay(on file: FileIdentity) -> UnixgramRelay? {
        relays.first { $0.listener.file == file }?.relay
    }

    /// Whether no port before it has its peer by the relay.
    func isFirst(_ port: SharedUnixgramPort, of relay: UnixgramRelay) -> Bool {
        ports.first { $0.isRelayed(by: relay) } === port
    }

    /// The socket of a relay.
    func socket(of relay: UnixgramRelay) -> UnixgramListener? {
        relays.first { $0.relay === relay }?.listener
    }

    @discardableResult
    func makeRelay(on listener: UnixgramListener) -> RelayedSocket {
        let socket = RelayedSocket(listener)
        socket.relay = UnixgramRelay(
            listener.descriptor,
            onStranger: { [weak self] in
                ControlActor.queue.async {
                    ControlActor.assumeIsolated { self?.takeWaiting(of: socket) }
                }
            },
            onEnd: {
                ControlActor.queue.async {
                    ControlActor.assumeIsolated { socket.listener.close() }
                }
            })
        relays.append(socket)
        return socket
    }

    /// Gives ports to clients of a relayed socket that have none yet.
    private func takeWaiting(of socket: RelayedSocket, _ found: [UnixgramClient] = []) {
        guard let relay = socket.relay else { return }
        let known = Set(relay.addresses)
        countStrangers(of: socket)
        let clients = found.isEmpty ? socket.listener.census() ?? [] : found
        for client in clients where !known.contains(client.peer.address) {
            guard let port = freePort else { return }
            port.take(client, through: relay)
        }
        // All have gone, or were refused.
        if relay.addresses.isEmpty { endRelay(of: socket) }
    }

    private func countStrangers(of socket: RelayedSocket) {
        guard let lost = socket.relay?.takeStrangers(), lost.frames + lost.greetings > 0
        else { return }
        ports.first?.countStrangers(lost)
    }

    private func endRelay(of socket: RelayedSocket) {
        socket.relay?.end()
        socket.relay = nil
        relays.removeAll { $0 === socket }
    }

    // MARK: Words

    private func report(_ refusal: HandshakeRefusal) {
        guard reported.count < Self.reportedMax, reported.insert(refusal).inserted else { return }
        ports.first?.report(refusal)
    }

    private func fail(_ message: String) {
        unwatch()
        guard message != failure else { return }
        failure = message
        ports.first?.life.note(message, .warning)
    }
}
