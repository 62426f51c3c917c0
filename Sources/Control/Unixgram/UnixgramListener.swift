// A unixgram port's socket: one for the life of the port, bound to one path.
//
// Theory of operation. The socket is always in one of two states.
//
//   listening   unconnected, SO_PASSCRED and SO_PASSPIDFD on: anybody with permission on the path may
//               send, and each datagram tells who did. `accept` reads it (Handshake.swift).
//   attached    connected back to one peer, options off: the kernel refuses everybody else (EPERM at
//               the sender), lifts its limit of max_dgram_qlen frames, and gives a true POLLOUT. The
//               data plane reads and writes; Control keeps its hands off but for `probe`
//               (Liveness.swift).
//
//   listening --accept--> attached --listenAgain--> listening        either --close--> (gone)
//
// The options are on before bind(): a datagram that was queued without them carries pid 0 for ever.
// They are off while attached: they cost the sender 0.5 us a frame, and every datagram received with
// SO_PASSPIDFD on installs a descriptor.
internal import CShimsSystem
internal import Glibc

/// A bound UNIX datagram socket that waits for one peer at a time.
///
/// Thread safety: none; it belongs to one actor or thread. No call blocks.
public final class UnixgramListener {
    /// The path that the socket is bound to.
    public let path: String
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
    private var isClosed = false

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

    /// Creates a socket at `path` and listens.
    ///
    /// A socket file that nobody owns is taken over. The file appears with mode 0 and gets its owner,
    /// then its mode, so nobody is let in by permissions that were not meant.
    /// - Parameters:
    ///   - path: absolute path, at most 107 bytes.
    ///   - mode: permission bits of the file; a peer needs write permission.
    ///   - owner: user that the file is given to; `nil` leaves it with the user of the switch.
    ///   - group: group that the file is given to; `nil` leaves it with the group of the switch.
    public static func listen(
        path: String, mode: UInt32, owner: UInt32? = nil, group: UInt32? = nil
    ) throws(PortError) -> UnixgramListener {
        guard path.utf8.count <= UnixgramAddress.pathLengthMax, !path.isEmpty else {
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
            let file = try place.bind(socket, mode: mode, owner: owner, group: group)
            return UnixgramListener(
                path: path, descriptor: socket, file: file, backlogMax: backlog + 1,
                passesProcesses: passesProcesses)
        } catch {
            _ = cshims_descriptor_close(socket)
            throw error
        }
    }

    /// Lets the peer go and listens for the next one, on the same file.
    ///
    /// The kernel throws away what the old peer had queued, so the data plane reads it empty first, and
    /// has cancelled its receives.
    public func listenAgain() throws(PortError) {
        _ = try Self.setOptions(on: true, socket: descriptor, path: path)
        let result = cshims_socket_disconnect(descriptor)
        guard result >= 0 else {
            throw .system(operation: "disconnect", subject: path, code: -result)
        }
        reportedRefusals.removeAll()
    }

    /// Whether the path still leads to this socket; `false` after somebody removed or replaced its file.
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
