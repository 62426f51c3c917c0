import Glibc

/// A new directory that only its owner may enter, removed with this object once it is empty.
final class PrivateDirectory {
    let path: String
    /// Who else has to reach the directory's files.
    private let owner: uid_t?

    /// Makes the directory in $TMPDIR, else in /tmp.
    /// - Parameters:
    ///   - prefix: how its name begins.
    ///   - other: a file whose owner must be able to use the directory. Where root makes it, it is
    ///     given to that user; others cannot give files away.
    init(prefix: String, sharedWithOwnerOf other: String? = nil) throws(SystemFailure) {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? ""
        let template = (parent.isEmpty ? "/tmp" : parent) + "/" + prefix + "XXXXXX"
        var bytes = Array(template.utf8CString)
        guard mkdtemp(&bytes) != nil else {
            throw SystemFailure(what: "cannot make a directory like \(template)", code: errno)
        }
        path = String(decoding: bytes.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        owner = other.flatMap(Self.owner(of:))
        share(file: path)
    }

    deinit { rmdir(path) }

    /// Gives a file in the directory to those that have to reach it.
    func share(file: String) {
        guard let owner, geteuid() == 0, owner != 0 else { return }
        // It fails in a user namespace, where that user has no name; then a switch of root still
        // reaches the file, and for another user's there is no way at all.
        _ = chown(file, owner, gid_t.max)
    }

    private static func owner(of path: String) -> uid_t? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_uid : nil
    }
}
