// A socket path on which clients connect, and the ports that they are given to.
//
// Mostly that is one port. Ports that share a path (`shared`) share its socket as well: a client is
// given to the first of them that is free and lets its user in.
//
//     listening --a client, a port is free--> given to the port
//         |-----a client, none is free-----> waiting --a port becomes free--> listening
//                                               `----a moment later: refused, listening
//
// A client that finds no free port is not refused at once: a virtual machine that was started again
// may connect before the end of its predecessor's connection has been dealt with.

internal import CShimsSystem
internal import Glibc

/// What a listener needs of the ports that it serves.
@ControlActor
protocol StreamTaker: AnyObject, Sendable {
    /// Whether a client would be taken.
    var isFree: Bool { get }
    /// Why a client is not let in; nil: it is.
    func objection(to client: StreamConnection) -> String?
    /// Takes a client that was not objected to.
    func take(_ client: StreamConnection)
    /// Tells of a client that was not taken.
    func refused(_ client: StreamConnection, _ reason: String)
    /// Tells that the socket does not work (with the reason), or works again (nil).
    func listenerChanged(_ failure: PortError?)
}

/// A listening socket of one path.
@ControlActor
final class StreamListener {
    let path: String
    /// SOCK_STREAM or SOCK_SEQPACKET.
    let socketType: Int32
    let isShared: Bool
    private(set) var access: SocketAccess
    private var takers: [any StreamTaker] = []
    private(set) var socket: Socket?
    private var readable: ReadSource?
    private var patience: Timer?
    private var isMending = false
    private var isSuspended = false
    /// Clients refused already since the last one was taken: a line of the log each is enough.
    private var reported: Set<String> = []

    private static let backlog: Int32 = 128
    /// Clients dealt with before others have their turn.
    private static let burstMax = 64
    private static let patienceMilliseconds = 200

    /// The socket and its file.
    typealias Socket = (descriptor: PassedDescriptor, file: FileIdentity)

    /// - Parameter socket: one that a predecessor has made; nil: `open` makes one.
    init(
        path: String, socketType: Int32, access: SocketAccess, isShared: Bool,
        socket: Socket? = nil
    ) {
        self.socket = socket
        self.path = path
        self.socketType = socketType
        self.access = access
        self.isShared = isShared
    }

    var isUnused: Bool { takers.isEmpty }

    /// Whether the path leads to a socket of ours.
    var isReachable: Bool {
        guard let socket else { return false }
        return FileIdentity(path: path) == socket.file
    }

    // MARK: The socket

    /// Creates the socket and listens.
    func open() throws(PortError) {
        guard path.utf8.count <= UnixgramAddress.pathLengthMax else {
            throw .pathTooLong(path: path)
        }
        let place = SocketPath(path)
        try place.clear()
        let descriptor = cshims_socket_create(socketType)
        guard descriptor >= 0 else {
            throw .system(operation: "create a socket for", subject: path, code: -descriptor)
        }
        do throws(PortError) {
            // Accepted sockets inherit it: to close a passed descriptor may take its time.
            _ = cshims_socket_set_pass_rights(descriptor, false)
            let file = try place.bind(descriptor, access)
            let result = cshims_socket_listen(descriptor, Self.backlog)
            guard result >= 0 else {
                _ = cshims_file_remove(path)
                throw .system(operation: "listen on", subject: path, code: -result)
            }
            socket = (PassedDescriptor(adopting: descriptor), file)
        } catch {
            _ = cshims_descriptor_close(descriptor)
            throw error
        }
        listen()
    }

    /// Removes the socket's file, if it is still this socket's, and closes the socket.
    func close() async {
        patience?.cancel()
        await readable?.end()
        readable = nil
        guard let socket else { return }
        self.socket = nil
        // The file goes first: a newcomer either finds it owned by a live socket or not at all.
        if FileIdentity(path: path) == socket.file { _ = cshims_file_remove(path) }
        _ = cshims_descriptor_close(socket.descriptor.take())
    }

    /// Gives the file another owner, group or mode; where somebody removed it, with the next one.
    func setAccess(_ next: SocketAccess) throws(PortError) {
        guard next != access else { return }
        if let socket, isReachable {
            try SocketPath(path).change(socket.file, to: next, from: access)
        }
        access = next
    }

    /// Makes the socket anew if somebody removed its file, or it could not be made before.
    func tend() {
        guard !isMending, !isReachable else { return }
        isMending = true
        Task {
            await mend()
            isMending = false
        }
    }

    private func mend() async {
        if socket != nil {
            tell(.refused("somebody removed the socket \(path): making it anew"))
        }
        await close()
        guard !takers.isEmpty else { return }
        do throws(PortError) {
            try open()
            tell(nil)
        } catch {
            tell(error)
        }
    }

    private func tell(_ failure: PortError?) {
        for taker in takers { taker.listenerChanged(failure) }
    }

    // MARK: Ports

    func add(_ taker: any StreamTaker) {
        takers.append(taker)
        if readable == nil { listen() }
    }

    /// Whether a port has been here longer than the others.
    func isFirst(_ taker: any StreamTaker) -> Bool { takers.first === taker }

    func remove(_ taker: any StreamTaker) { takers.removeAll { $0 === taker } }

    /// A port can take a client again.
    func becameFree() {
        guard patience != nil, !isSuspended else { return }
        patience?.cancel()
        listen()
    }

    /// Lets clients wait until `resume`.
    func suspend() {
        isSuspended = true
        patience?.cancel()
        readable?.suspend()
    }

    /// Goes on after `suspend`.
    func resume() {
        guard isSuspended else { return }
        isSuspended = false
        readable?.resume()
        if patience != nil { listen() }
    }

    // MARK: Clients

    private func listen() {
        patience = nil
        guard let socket else { return }
        readable?.cancel()
        readable = ReadSource(
            descriptor: socket.descriptor.number, keeping: socket.descriptor
        ) { [weak self] in
            self?.acceptClients()
        }
    }

    private func acceptClients() {
        guard patience == nil, !isSuspended else { return }
        for _ in 0..<Self.burstMax {
            guard takers.contains(where: \.isFree) else { return wait() }
            guard let client = accept() else { return }
            give(client)
        }
    }

    private func accept() -> StreamConnection? {
        guard let socket else { return nil }
        let descriptor = cshims_socket_accept(socket.descriptor.number)
        if descriptor >= 0 { return StreamConnection(adopting: descriptor) }
        // Without a descriptor to spare the client waits, and this process must not spin.
        if descriptor != -EAGAIN { wait() }
        return nil
    }

    private func give(_ client: StreamConnection) {
        var objection: String?
        for taker in takers where taker.isFree {
            objection = taker.objection(to: client)
            if objection == nil {
                reported.removeAll()
                return taker.take(client)
            }
        }
        refuse(client, objection ?? "the port is taken")
    }

    private func refuse(_ client: StreamConnection, _ reason: String) {
        client.close()
        guard reported.count < Self.burstMax,
            reported.insert("\(client.uid ?? 0) \(reason)").inserted
        else { return }
        takers.first?.refused(client, reason)
    }

    /// Stops looking for clients until a port is free, or a moment is over.
    private func wait() {
        readable?.cancel()
        patience = Timer(afterMilliseconds: Self.patienceMilliseconds) { [weak self] in
            self?.losePatience()
        }
    }

    private func losePatience() {
        patience = nil
        for _ in 0..<Self.burstMax {
            guard !takers.contains(where: \.isFree), let client = accept() else { break }
            let one = isShared ? "every port of \(path) is taken" : "the port is taken"
            refuse(client, one)
        }
        if patience == nil { listen() }
    }
}

/// The listening sockets of a switch, by path.
@ControlActor
final class StreamListeners {
    private var listeners: [String: StreamListener] = [:]

    nonisolated init() {}

    /// Has a port served by the socket of a path, which is made for the first.
    func join(
        _ taker: any StreamTaker, path: String, socketType: Int32, access: SocketAccess,
        isShared: Bool
    ) throws(PortError) -> StreamListener {
        if let listener = listeners[path] {
            let isOpen = listener.isUnused || (isShared && listener.isShared)
            guard isOpen, listener.socketType == socketType else {
                throw .pathInUse(path: path)
            }
            try listener.setAccess(access)
            listener.add(taker)
            listener.becameFree()
            return listener
        }
        let listener = StreamListener(
            path: path, socketType: socketType, access: access, isShared: isShared)
        try listener.open()
        listener.add(taker)
        listeners[path] = listener
        return listener
    }

    /// Keeps a socket that a predecessor has made for the ports that will join.
    func adopt(_ listener: StreamListener) { listeners[listener.path] = listener }

    /// Closes sockets that no port has joined.
    func closeUnused() async {
        for (path, listener) in listeners where listener.isUnused {
            listeners[path] = nil
            await listener.close()
        }
    }

    /// Ends that; with the last port the socket goes.
    func leave(_ taker: any StreamTaker, _ listener: StreamListener) async {
        listener.remove(taker)
        guard listener.isUnused else { return }
        if listeners[listener.path] === listener { listeners[listener.path] = nil }
        await listener.close()
    }
}
