// The directory where a switch keeps its sockets, and the lock that makes it the only one there.

internal import CShimsSystem
internal import Glibc

/// A locked runtime directory; the lock lasts as long as the object or the process.
///
/// The lock's file holds the pid of the switch, and is empty after a clean end.
final class RuntimeDirectory {
    let path: String
    /// Whether the switch that lived here before was killed: the kernel may still be busy with what
    /// it held.
    let wasAbandoned: Bool
    /// The file that is locked.
    let lock: Int32

    /// Makes the directory where it is missing, and takes its lock.
    ///
    /// A directory of a user is private (0700) and must belong to that user, since its name in /tmp
    /// can be guessed.
    init(path: String) throws(SwitchError) {
        try Self.make(path)
        self.path = path
        let file = path + "/lock"
        let descriptor = Glibc.open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw SwitchError("cannot open \(file): \(SystemText.reason(errno))")
        }
        do throws(SwitchError) {
            let former = Self.readOwner(descriptor)
            try Self.take(descriptor, file, former, path)
            wasAbandoned = former != nil
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        lock = descriptor
    }

    /// Takes over a directory with its lock, which a predecessor has passed on.
    init(path: String, adopting lock: Int32) {
        self.path = path
        self.lock = lock
        wasAbandoned = false
    }

    /// Writes this process's name on the lock.
    func sign() throws(SwitchError) { try Self.sign(lock, path + "/lock") }

    /// Says that nobody lives here any more.
    func clear() { _ = ftruncate(lock, 0) }

    deinit {
        clear()
        Glibc.close(lock)
    }

    private static func take(
        _ lock: Int32, _ file: String, _ owner: Int32?, _ path: String
    ) throws(SwitchError) {
        let result = cshims_file_lock(lock)
        if result == -EWOULDBLOCK {
            throw SwitchError(
                "another switch\(owner.map { " (pid \($0))" } ?? "") runs in \(path): stop "
                    + "it, or give this one a runtime_dir of its own")
        }
        guard result >= 0 else {
            throw SwitchError("cannot lock \(file): \(SystemText.reason(-result))")
        }
        try sign(lock, file)
    }

    private static func sign(_ lock: Int32, _ file: String) throws(SwitchError) {
        let text = "\(getpid())\n"
        _ = ftruncate(lock, 0)
        guard text.withCString({ pwrite(lock, $0, text.utf8.count, 0) }) == text.utf8.count else {
            throw SwitchError("cannot write to \(file): \(SystemText.reason(errno))")
        }
    }

    private static func make(_ path: String) throws(SwitchError) {
        let user = geteuid()
        let code = mkdir(path, user == 0 ? 0o755 : 0o700) == 0 ? 0 : errno
        if code != 0 && code != EEXIST {
            let remedy =
                code == EACCES
                ? "; set runtime_dir to a directory of uid \(user), or have root make this one "
                    + "for it" : ""
            throw SwitchError(
                "cannot make the runtime directory \(path): \(SystemText.reason(code))\(remedy)")
        }
        var link = stat()
        var state = stat()
        guard lstat(path, &link) == 0, stat(path, &state) == 0, state.st_mode & S_IFMT == S_IFDIR
        else {
            throw SwitchError("\(path) is not a directory")
        }
        // Whoever made the link can point it elsewhere.
        let owners = link.st_uid == 0 ? [state.st_uid] : [link.st_uid, state.st_uid]
        for owner in owners where user != 0 && owner != user {
            throw SwitchError(
                "\(path) belongs to user \(owner), not to this one (\(user)): set runtime_dir")
        }
        if user != 0, state.st_mode & 0o022 != 0 {
            throw SwitchError("\(path) can be written to by other users: chmod 700 \(path)")
        }
    }

    private static func readOwner(_ descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        return Int32(String(decoding: bytes[..<count].prefix { $0 != 10 }, as: UTF8.self))
    }
}
