// The directory where a switch keeps its sockets, and the lock that makes it the only one there.

internal import CShimsSystem
internal import Glibc

/// A locked runtime directory; the lock lasts as long as the object or the process.
final class RuntimeDirectory {
    let path: String
    private let lock: Int32

    /// Makes the directory where it is missing, and takes its lock.
    ///
    /// A directory of a user is private (0700) and must belong to that user, since its name in /tmp can be guessed.
    init(path: String) throws(SwitchError) {
        self.path = path
        try Self.make(path)
        let file = path + "/lock"
        let descriptor = Glibc.open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw SwitchError("cannot open \(file): \(Self.reason(errno))")
        }
        guard cshims_file_lock(descriptor) >= 0 else {
            let owner = Self.readOwner(descriptor)
            Glibc.close(descriptor)
            throw SwitchError(
                "another switch\(owner.map { " (pid \($0))" } ?? "") runs in \(path): stop it, or give this one a runtime_dir of its own")
        }
        lock = descriptor
        let text = "\(getpid())\n"
        _ = ftruncate(lock, 0)
        guard text.withCString({ pwrite(lock, $0, text.utf8.count, 0) }) == text.utf8.count else {
            let error = errno
            Glibc.close(lock)
            throw SwitchError("cannot write to \(file): \(Self.reason(error))")
        }
    }

    deinit { Glibc.close(lock) }

    private static func make(_ path: String) throws(SwitchError) {
        let mode: mode_t = geteuid() == 0 ? 0o755 : 0o700
        if mkdir(path, mode) != 0 && errno != EEXIST {
            throw SwitchError("cannot make the runtime directory \(path): \(reason(errno))")
        }
        var state = stat()
        guard stat(path, &state) == 0, state.st_mode & S_IFMT == S_IFDIR else {
            throw SwitchError("\(path) is not a directory")
        }
        guard state.st_uid == geteuid() || geteuid() == 0 else {
            throw SwitchError(
                "\(path) belongs to user \(state.st_uid), not to this one (\(geteuid())): set runtime_dir")
        }
        if geteuid() != 0, state.st_mode & 0o022 != 0 {
            throw SwitchError("\(path) can be written to by other users: chmod 700 \(path)")
        }
    }

    private static func readOwner(_ descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        return Int32(String(decoding: bytes[..<count].prefix { $0 != 10 }, as: UTF8.self))
    }

    private static func reason(_ error: Int32) -> String { String(cString: strerror(error)) }
}
