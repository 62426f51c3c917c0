// Writes a configuration so that there is a whole one at any moment, the old or the new.

internal import Glibc

/// Why a file could not be written.
public struct ConfigurationFileError: Error, CustomStringConvertible {
    /// One sentence.
    public let description: String
}

/// A file that a configuration is saved to.
public enum ConfigurationFile {
    /// Replaces the file at `path`, or makes it, atomically: a new file is written beside it,
    /// brought to the disk, and renamed.
    ///
    /// A file that there is keeps its mode and, where the user may give files away, its owner; a
    /// symbolic link stays one.
    public static func write(_ text: String, to path: String) throws(ConfigurationFileError) {
        let target = resolved(path)
        var former = stat()
        let exists = lstat(target, &former) == 0
        if exists, former.st_mode & S_IFMT != S_IFREG {
            throw ConfigurationFileError(description: "\(path) is not a regular file")
        }
        var name = Array("\(target).XXXXXX".utf8CString)
        let descriptor = mkstemp(&name)
        guard descriptor >= 0 else { throw failure("make a file beside", path, errno) }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        var isRenamed = false
        defer {
            close(descriptor)
            if !isRenamed { unlink(name) }
        }
        if exists { _ = fchown(descriptor, former.st_uid, former.st_gid) }
        guard fchmod(descriptor, exists ? former.st_mode & 0o777 : 0o644) == 0 else {
            throw failure("set the mode of", path, errno)
        }
        try fill(descriptor, text, path)
        guard rename(name, target) == 0 else { throw failure("replace", path, errno) }
        isRenamed = true
        try syncDirectory(of: target)
    }

    private static func fill(
        _ descriptor: Int32, _ text: String, _ path: String
    ) throws(ConfigurationFileError) {
        let bytes = Array(text.utf8)
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure("write", path, errno) }
            written += count
        }
        guard fsync(descriptor) == 0 else { throw failure("write", path, errno) }
    }

    /// A rename is on the disk when its directory is.
    private static func syncDirectory(of path: String) throws(ConfigurationFileError) {
        let parent = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        let directory = parent.isEmpty ? "." : parent.joined(separator: "/") + "/"
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("sync the directory of", path, errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else {
            throw failure("sync the directory of", path, errno)
        }
    }

    /// The path without symbolic links, where there is something.
    private static func resolved(_ path: String) -> String {
        guard let real = realpath(path, nil) else { return path }
        defer { free(real) }
        return String(cString: real)
    }

    private static func failure(
        _ operation: String, _ path: String, _ code: Int32
    ) -> ConfigurationFileError {
        ConfigurationFileError(
            description: "cannot \(operation) \(path): \(SystemText.reason(code))"
                + "; what was there is unchanged")
    }
}
