// The file of a listening socket: taking over a stale one, and creating it with the right
// permissions from its first moment.
internal import CShimsSystem
internal import Glibc

/// Which file a path led to: two files of one machine never share this while both exist.
struct FileIdentity: Equatable {
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

    private init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        isSocket = status.st_mode & S_IFMT == S_IFSOCK
    }
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

    /// Binds the socket; the file has mode 0 until its owner is set, and then `mode`.
    func bind(
        _ socket: Int32, mode: UInt32, owner: UInt32?, group: UInt32?
    ) throws(PortError) -> FileIdentity {
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
            try give(file, to: owner, group)
            let opened = cshims_file_set_mode(file, mode)
            guard opened >= 0 else { throw error(-opened, operation: "set the mode of") }
        } catch {
            _ = cshims_file_remove(path)
            throw error
        }
        return identity
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
