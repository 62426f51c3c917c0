// The file of a listening socket: taking over a stale one, and creating it with the right
// permissions from its first moment.
internal import CShimsSystem
internal import Glibc

/// Which file a path led to: two files of one machine never share this while both exist.
struct FileIdentity: Equatable, Codable {
    let device: UInt64
    let inode: UInt64
    let isSocket: Bool

    /// The file at the path, a symbolic link itself; `nil` where there is none or it cannot be
    /// seen.
    init?(path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    /// The file that a descriptor was opened on.
    init?(descriptor: Int32) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        self.init(status)
    }

    /// A socket's file as another process knew it.
    init(device: UInt64, inode: UInt64) {
        (self.device, self.inode) = (device, inode)
        isSocket = true
    }

    private init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        isSocket = status.st_mode & S_IFMT == S_IFSOCK
    }
}

/// Who may connect to a socket: what its file says.
public struct SocketAccess: Equatable, Sendable {
    /// Permission bits of the file; a peer needs write permission.
    public var mode: UInt32
    /// User that the file is given to; `nil` leaves it with the user of the switch.
    public var owner: UInt32?
    /// Group that the file is given to; `nil` leaves it with the group of the switch.
    public var group: UInt32?

    /// Permission bits, and whose the file is.
    public init(mode: UInt32, owner: UInt32? = nil, group: UInt32? = nil) {
        self.mode = mode
        self.owner = owner
        self.group = group
    }
}

extension PortConfiguration.Unixgram {
    /// Who may connect to the port's socket.
    var access: SocketAccess { SocketAccess(mode: mode, owner: owner, group: group) }
}

/// A place in the file system where a socket is to listen.
struct SocketPath {
    private let path: String

    init(_ path: String) {
        self.path = path
    }

    /// Removes a socket file that nobody owns any more; throws where the place is taken.
    ///
    /// Two switches that take over one stale file at the same moment are kept apart by the lock on
    /// their runtime directory; the second look at the file's identity narrows the window for
    /// others.
    func clear() throws(PortError) {
        guard let found = FileIdentity(path: path) else { return }
        guard found.isSocket else { throw .pathIsNotSocket(path: path) }
        guard try isStale(), FileIdentity(path: path) == found else {
            throw .pathInUse(path: path)
        }
        let removed = cshims_file_remove(path)
        guard removed >= 0 || removed == -ENOENT else {
            throw error(-removed, operation: "replace the stale socket")
        }
    }

    /// Binds the socket; the file has mode 0 until its owner is set, and then the wanted one.
    func bind(_ socket: Int32, _ access: SocketAccess) throws(PortError) -> FileIdentity {
        // The mode is the socket's own and no umask is touched, which all threads share.
        let born = cshims_socket_set_birth_mode(socket, 0)
        guard born >= 0 else { throw error(-born, operation: "prepare the socket") }
        let bound = cshims_socket_bind_path(socket, path)
        guard bound >= 0 else { throw error(-bound, operation: "create the socket") }

        // From here on the file is named by a descriptor: a path could be replaced.
        let file = cshims_file_reference(path)
        guard file >= 0 else { throw error(-file, operation: "open the socket") }
        defer { _ = cshims_descriptor_close(file) }
        guard let identity = FileIdentity(descriptor: file), identity.isSocket else {
            throw .pathInUse(path: path)
        }
        do throws(PortError) {
            try give(file, to: access.owner, access.group)
            try setMode(file, access.mode)
        } catch {
            _ = cshims_file_remove(path)
            throw error
        }
        return identity
    }

    /// Changes owner, group and mode of a socket that is in use; as it was where that fails.
    ///
    /// While the owner changes, the mode is what both the old and the new one allow: nobody is let
    /// in by permissions that were not meant, and nobody is locked out who may connect before and
    /// after.
    func change(
        _ identity: FileIdentity, to access: SocketAccess, from former: SocketAccess
    ) throws(PortError) {
        let file = cshims_file_reference(path)
        guard file >= 0 else { throw error(-file, operation: "open the socket") }
        defer { _ = cshims_descriptor_close(file) }
        guard FileIdentity(descriptor: file) == identity else { throw .pathInUse(path: path) }
        try setMode(file, access.mode & former.mode)
        do throws(PortError) {
            if (access.owner, access.group) != (former.owner, former.group) {
                try give(file, to: access.owner ?? geteuid(), access.group ?? getegid())
            }
            try setMode(file, access.mode)
        } catch {
            try? setMode(file, former.mode)
            throw error
        }
    }

    private func setMode(_ file: Int32, _ mode: UInt32) throws(PortError) {
        let result = cshims_file_set_mode(file, mode)
        guard result >= 0 else { throw error(-result, operation: "set the mode of") }
    }

    private func give(
        _ file: Int32, to owner: UInt32?, _ group: UInt32?
    ) throws(PortError) {
        guard owner != nil || group != nil else { return }
        let result = cshims_file_set_owner(file, owner ?? .max, group ?? .max)
        switch -result {
        case ...0: return
        case EPERM: throw .ownershipDenied(path: path, owner: owner, group: group)
        case let code: throw error(code, operation: "set the owner of")
        }
    }

    /// Whether nobody owns the socket behind the file: a throw-away socket is refused by it.
    private func isStale() throws(PortError) -> Bool {
        let probe = cshims_socket_create_unixgram()
        guard probe >= 0 else {
            throw .system(operation: "create a socket to look at", subject: path, code: -probe)
        }
        defer { _ = cshims_descriptor_close(probe) }
        switch -cshims_socket_connect_path(probe, path) {
        case ECONNREFUSED: return true
        // 0: it listens; EPERM: it has a peer; EPROTOTYPE: a socket of another type listens.
        case 0, EPERM, EPROTOTYPE: return false
        case ENOENT: return true
        case let code: throw error(code, operation: "look at the socket")
        }
    }

    private func error(_ code: Int32, operation: String) -> PortError {
        switch code {
        case ENOENT, ENOTDIR: .directoryMissing(path: path)
        case EACCES, EPERM: .pathDenied(path: path, operation: operation)
        case ENAMETOOLONG: .pathTooLong(path: path)
        case EADDRINUSE: .pathInUse(path: path)
        default: .system(operation: operation, subject: path, code: code)
        }
    }
}
