import Foundation
import Glibc

/// A directory of its own under /tmp, short enough for the paths of sockets; it goes with the
/// object, with everything in it.
final class TemporaryDirectory: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/ringswitch-test-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { fatalError("mkdtemp: errno \(errno)") }
        path = String(cString: made)
        chmod(path, 0o777)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The path of a file in the directory.
    func callAsFunction(_ name: String) -> String { path + "/" + name }
}
