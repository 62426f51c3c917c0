// A unixgram port's socket: one for the life of the port, bound to one path.
//
// Theory of operation. The socket is always in one of two states.
//
//   listening   unconnected, SO_PASSCRED and SO_PASSPIDFD on: anybody with permission on the path
//               may send, and each datagram tells who did. `accept` reads it (Handshake.swift).
//   attached    connected back to one peer, options off: the kernel refuses everybody else (EPERM
//               at the sender), lifts its limit of max_dgram_qlen frames, and gives a true POLLOUT.
//               The data plane reads and writes; Control keeps its hands off but for `probe`
//               (Liveness.swift).
//
//   listening --accept--> attached --listenAgain--> listening        either --close--> (gone)
//
// The options are on before bind(): a datagram that was queued without them carries pid 0 for ever.
// They are off while attached: they cost the sender 0.5 us a frame, and every datagram received
// with SO_PASSPIDFD on installs a descriptor.
internal import CShimsSystem
internal import Glibc

/// A bound UNIX datagram socket that waits for one peer at a time.
///
/// Thread safety: none; it belongs to one actor or thread. No call blocks.
public final class UnixgramListener {
    /// The path that the socket is bound to, or was moved to.
    public private(set) var path: String
    /// The socket; owned by this object until `close`.
    public let descriptor: Int32
    /// The socket's file as it was created.
    let file: FileIdentity
    /// Datagrams that wait at most while the socket is unconnected: max_dgram_qlen as the kernel
    /// sampled it at socket(), and one more (net/unix/af_unix.c: unix_dgram_sendmsg).
    let backlogMax: Int
    /// Whether the kernel gives pidfds with datagrams (Linux 6.5).
    let passesProcesses: Bool
    /// Refusals already reported since the last peer attached.
    var reportedRefusals: Set<HandshakeRefusal> = []
    /// Inode of the socket that was let go last, if it still existed then; else 0.
    private(set) var formerPeer: UInt32 = 0
    private var isClosed = false
    /// Frames of 60 bytes that a send buffer of 8 MiB holds, at 768 bytes charged for each
    /// (measured).
    private static let leftoverMax = 10_923

    init(
        path: String, descriptor: Int32, file: FileIdentity, backlogMax: Int,
        passesProcesses: Bool
    ) {
        self.path = path
        self.descriptor = descriptor
        self.file = file
        self.backlogMax = backlogMax
        self.passesProcesses = passesProcesses
    }

    deinit { close() }

    /// The same socket after its file was renamed.
    func moved(to path: String) -> UnixgramListener {
        self.path = path
        return self
    }

    /// Creates a socket at `path` and listens.
    ///
    /// A socket file that nobody owns is taken over. The file appears with mode 0 and gets its
    /// owner, then its mode, so nobody is let in by permissions that were not meant.
    /// - Parameters:
    ///   - path: absolute path, at most 107 bytes.
    ///   - mode: permission bits of the file; a peer needs write permission.
    ///   - owner: user that the file is given to; `nil` leaves it with the user of the switch.
    ///   - group: group that the file is given to; `nil` leaves it with the group of the switch.
    public static func listen(
        path: String, mode: UInt32, owner: UInt32? = nil, group: UInt32? = nil
    ) throws(PortError) -> UnixgramListener {
        precondition(!path.isEmpty, "a port listens on a path")
        guard path.utf8.count <= UnixgramAddress.pathLengthMax else {
            throw .pathTooLong(path: path)
        }
        let place = SocketPath(path)
        try place.clear()
        let backlog = SystemText.limit("net/unix/max_dgram_qlen") ?? 512
        let socket = cshims_socket_create_unixgram()
        guard socket >= 0 else {
            throw .system(operation: "create a socket for", subject: path, code: -socket)
        }
        do throws(PortError) {
            let passesProcesses = try setOptions(on: true, socket: socket, path: path)
            // Linux 6.16 can refuse descriptors at the sender; before, the shim closes them.
            _ = cshims_socket_set_pass_rights(socket, false)
            let file = try place.bind(
                socket, SocketAccess(mode: mode, owner: owner, group: group))
            return UnixgramListener(
                path: path, descriptor: socket, file: file, backlogMax: backlog + 1,
                passesProcesses: passesProcesses)
        } catch {
            _ = cshims_descriptor_close(socket)
            throw error
        }
    }

    /// Frames of a peer that nobody received before it was let go.
    public struct Leftover: Equatable, Sendable {
        /// How many.
        public var frames = 0
        /// Their bytes.
        public var bytes = 0
    }

    /// Lets the peer go and listens for the next one, on the same file.
    ///
    /// The data plane has cancelled its receives before. What the old peer had queued since is read
    /// and told, because the kernel throws it away with the connection. A peer that still lives and
    /// had frames thrown away gets ECONNRESET once, and then may attach again as anybody may.
    ///
    /// A successor may have come before: a send that the dead peer refused has dissolved the
    /// connection, and its greeting is lost among these frames or to the data plane. Call
    /// `acceptSilent` a little later.
    /// - Returns: frames to be counted as dropped.
    public func listenAgain() throws(PortError) -> Leftover {
        var own = cshims_unix_diagnosis()
        formerPeer = cshims_socket_diagnose(descriptor, &own) >= 0 ? own.peer_inode : 0
        let leftover = Self.readLeftover(of: descriptor)
        _ = try Self.setOptions(on: true, socket: descriptor, path: path)
        let result = cshims_socket_disconnect(descriptor)
        guard result >= 0 else {
            throw .system(operation: "disconnect", subject: path, code: -result)
        }
        reportedRefusals.removeAll()
        return leftover
    }

    /// Gives the file another owner, group or mode; where somebody removed it, nothing.
    public func setAccess(
        _ access: SocketAccess, from former: SocketAccess
    ) throws(PortError) {
        guard isReachable else { return }
        try SocketPath(path).change(file, to: access, from: former)
    }

    /// Whether the path still leads to this socket; `false` after somebody removed or replaced its
    /// file.
    public var isReachable: Bool { FileIdentity(path: path) == file }

    /// Removes the socket's file, if it is still this socket's, and closes the socket.
    ///
    /// While a ring still holds the socket (a registered file, an armed receive) it lives on: the
    /// data plane lets go of it first.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        // The file goes first: a newcomer either finds it owned by a live socket or not at all.
        if isReachable { _ = cshims_file_remove(path) }
        _ = cshims_descriptor_close(descriptor)
    }

    /// Reads the queue of an attached socket empty. The limit is for a peer that lives and sends
    /// on: a dead peer's queue, which its send buffer bounds, is shorter.
    static func readLeftover(of descriptor: Int32) -> Leftover {
        var leftover = Leftover()
        var datagram = cshims_datagram()
        for _ in 0..<Self.leftoverMax {
            // No room is needed to learn a datagram's length.
            guard cshims_socket_receive(descriptor, nil, 0, &datagram) >= 0 else { break }
            if datagram.pidfd >= 0 { _ = cshims_descriptor_close(datagram.pidfd) }
            leftover.frames += 1
            leftover.bytes += Int(datagram.length)
        }
        return leftover
    }

    /// Switches what tells the sender of a datagram; returns whether pidfds are to be had.
    private static func setOptions(
        on: Bool, socket: Int32, path: String
    ) throws(PortError) -> Bool {
        let credentials = cshims_socket_set_pass_credentials(socket, on)
        guard credentials >= 0 else {
            throw .system(operation: "ask for credentials on", subject: path, code: -credentials)
        }
        let processes = cshims_socket_set_pass_pidfd(socket, on)
        guard processes >= 0 || processes == -ENOPROTOOPT else {
            throw .system(operation: "ask for pidfds on", subject: path, code: -processes)
        }
        return processes >= 0
    }
}
