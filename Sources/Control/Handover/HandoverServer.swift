// The socket that descriptors are handed over by: `handover.sock` in the runtime directory.
//
// Theory of operation. HTTP libraries carry no descriptors, so the control socket cannot. This one
// is of type SOCK_SEQPACKET: one message a request, one a reply, and a connection ends when either
// side is gone. It lets in whom the control socket lets in: its file is its owner's alone, and who
// has connected is looked at again (SO_PEERCRED), since a descriptor of the socket may travel.
//
// Everything happens on the control actor, next to the ports, and nothing of it waits for a client.
// A client that connects and says nothing is shown the door; one that does not read its replies as
// well; there are never more than a few. While a request is answered its connection is not watched,
// so a client that sends on and on fills its own socket and nothing else. Every descriptor that a
// message brings is closed with the message unless an operation takes it.
//
// What the operations are is the service's business.

internal import CShimsSystem
internal import Foundation
internal import Glibc
internal import Logging

/// What answers the requests of a handover server.
@ControlActor
protocol HandoverService: AnyObject, Sendable {
    /// Answers one request. Those of one connection come one after the other.
    func answer(_ request: HandoverRequest) async throws(ControlError) -> HandoverReply
    /// The client of a connection has gone, or its last reply could not be sent.
    func connectionEnded(_ connection: HandoverConnectionID)
}

/// Takes connections at a path, and answers their requests one after the other.
@ControlActor
final class HandoverServer {
    /// Clients at a time; others wait in the kernel until one leaves.
    nonisolated static let connectionsMax = 16
    private static let backlog: Int32 = 16
    /// Pause before the next try where no connection could be taken, for want of descriptors.
    private static let pauseMilliseconds = 1000

    private var path: String
    /// Where it is to be after `takePlace`.
    private var place: String?
    private let service: any HandoverService
    private let logger: Logger
    private let silenceMillisecondsMax: Int
    private var listener: HandoverSocket?
    private var file: FileIdentity?
    private var arrivals: ReadSource?
    private var pause: Timer?
    private var connections: [HandoverConnectionID: HandoverConnection] = [:]
    private var connectionCount: UInt64 = 0
    private var isStopping = false

    /// - Parameters:
    ///   - path: where to listen; its directory exists and is locked by the caller.
    ///   - silenceMillisecondsMax: how long a client may take for its next request.
    init(
        path: String, service: any HandoverService, logger: Logger,
        silenceMillisecondsMax: Int = 10_000
    ) {
        self.path = path
        self.service = service
        self.logger = logger
        self.silenceMillisecondsMax = silenceMillisecondsMax
    }

    /// Begins to serve.
    /// - Parameter temporary: where to listen until `takePlace`; nil: at the path itself.
    func start(at temporary: String? = nil) throws(SwitchError) {
        precondition(listener == nil && !isStopping, "a handover server is started once")
        if let temporary { (path, place) = (temporary, path) }
        do throws(PortError) {
            let place = SocketPath(path)
            try place.clear()
            let descriptor = cshims_message_socket_create()
            guard descriptor >= 0 else {
                throw .system(operation: "create a socket for", subject: path, code: -descriptor)
            }
            let socket = HandoverSocket(adopting: descriptor)
            // Nobody can connect before listen(2), and then the mode is the right one.
            file = try place.bind(
                descriptor, SocketAccess(mode: UInt32(ControlSocketAddress.mode)))
            let result = cshims_message_socket_listen(descriptor, Self.backlog)
            guard result >= 0 else {
                throw .system(operation: "listen on", subject: path, code: -result)
            }
            listener = socket
        } catch {
            removeOwnFile()
            throw SwitchError("the handover socket cannot be opened: \(error)")
        }
        watch()
    }

    /// Ends the service, waits until what is being answered is done, and removes the file. Safe to
    /// call twice, and before `start`.
    func stop() async {
        isStopping = true
        removeOwnFile()
        pause?.cancel()
        await arrivals?.end()
        arrivals = nil
        listener = nil
        for connection in connections.values { connection.shutDown() }
        for connection in Array(connections.values) { await connection.ended.wait() }
    }

    /// Takes the place of a predecessor's socket: clients find either.
    func takePlace() throws(SwitchError) {
        guard let place else { return }
        guard rename(path, place) == 0 else {
            throw SwitchError("cannot take the place of \(place): \(SystemText.reason(errno))")
        }
        (path, self.place) = (place, nil)
    }

    private func removeOwnFile() {
        guard let own = file else { return }
        file = nil
        if FileIdentity(path: path) == own { _ = cshims_file_remove(path) }
    }

    // MARK: Connections

    private func watch() {
        guard arrivals == nil, !isStopping, let listener else { return }
        arrivals = ReadSource(descriptor: listener.descriptor, keeping: listener) { [weak self] in
            self?.takeConnections()
        }
    }

    private func takeConnections() {
        guard let listener, !isStopping else { return }
        while connections.count < Self.connectionsMax {
            let socket = cshims_message_socket_accept(listener.descriptor)
            if socket >= 0 {
                take(HandoverSocket(adopting: socket))
            } else if socket == -EAGAIN {
                return
            } else if socket != -EINTR && socket != -ECONNABORTED {
                logger.warning(
                    "cannot take a connection of the handover socket",
                    metadata: ["reason": "\(SystemText.reason(-socket))"])
                return rest()
            }
        }
        // Until one of them leaves.
        arrivals?.cancel()
        arrivals = nil
    }

    /// Looks away for a while: the socket stays readable, and would be looked at in vain for ever.
    private func rest() {
        arrivals?.cancel()
        arrivals = nil
        pause = Timer(afterMilliseconds: Self.pauseMilliseconds) { [weak self] in self?.watch() }
    }

    private func take(_ socket: HandoverSocket) {
        guard let peer = socket.peer, peer.uid == geteuid() || peer.uid == 0 else { return }
        connectionCount += 1
        let id = HandoverConnectionID(number: connectionCount)
        let connection = HandoverConnection(
            id, socket, peer, service, silenceMillisecondsMax: silenceMillisecondsMax)
        connections[id] = connection
        Task {
            await connection.serve()
            connections[id] = nil
            watch()
        }
    }
}

/// One client.
@ControlActor
private final class HandoverConnection {
    let ended = Gate()
    private let id: HandoverConnectionID
    private let socket: HandoverSocket
    private let peer: HandoverPeer
    private let service: any HandoverService
    private let silenceMillisecondsMax: Int
    private var isShutDown = false

    init(
        _ id: HandoverConnectionID, _ socket: HandoverSocket, _ peer: HandoverPeer,
        _ service: any HandoverService, silenceMillisecondsMax: Int
    ) {
        self.id = id
        self.socket = socket
        self.peer = peer
        self.service = service
        self.silenceMillisecondsMax = silenceMillisecondsMax
    }

    /// Answers requests until the client leaves, falls silent or does not read.
    func serve() async {
        while let message = await nextMessage() {
            let reply = await answer(message)
            guard !isShutDown, socket.send(reply) == 0 else { break }
        }
        service.connectionEnded(id)
        ended.open()
    }

    /// Lets the client go once its request has been answered.
    func shutDown() {
        isShutDown = true
        socket.shutDown()
    }

    private func nextMessage() async -> HandoverMessage? {
        let silence = Timer(afterMilliseconds: silenceMillisecondsMax) { [weak self] in
            self?.shutDown()
        }
        defer { silence.cancel() }
        while !isShutDown {
            switch socket.receive(descriptorsMax: HandoverProtocol.requestDescriptorsMax) {
            case .message(let message): return message
            case .nothing: await waitUntilReadable()
            case .end: return nil
            }
        }
        return nil
    }

    private func waitUntilReadable() async {
        let readable = Gate()
        let source = ReadSource(descriptor: socket.descriptor) { readable.open() }
        await readable.wait()
        await source.end()
    }

    private func answer(_ message: HandoverMessage) async -> HandoverMessage {
        do throws(ControlError) {
            let request = try HandoverRequest(message, from: peer, by: id)
            let reply = HandoverEnvelope.message(try await service.answer(request))
            guard reply.json.count <= HandoverProtocol.lengthMax else {
                throw ControlError(.internalError, "the reply is too long for a message")
            }
            return reply
        } catch {
            return HandoverEnvelope.message(error)
        }
    }
}
