import Foundation
import Glibc

/// A directory for the sockets and files of one test, removed with the last reference.
final class TemporaryDirectory: Sendable {
    /// Absolute path, short enough that socket names in it fit into a `sockaddr_un`.
    let path: String

    init() throws {
        var template = Array("/tmp/ringswitch-e2e-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw SpawnedProcess.Failure(code: errno) }
        path = String(cString: made)
        Guardian.shared.hold(.directory(path))
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
        Guardian.shared.release(.directory(path))
    }

    /// The path of `name` in the directory.
    func file(_ name: String) -> String {
        path + "/" + name
    }

    /// Writes `text` to the file `name` and returns its path.
    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: file(name), atomically: true, encoding: .utf8)
        return file(name)
    }
}
