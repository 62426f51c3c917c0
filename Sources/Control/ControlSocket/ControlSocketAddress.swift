// Where a switch listens for its administrator.

internal import FlyingSocks
import Glibc

/// The path of a control socket, checked to fit into a `sockaddr_un`.
///
/// As a socket address it makes the socket private: bind(2) creates the file with whatever mode the
/// umask leaves, and nobody can connect before listen(2), so narrowing the mode right after bind
/// leaves no moment in which another user gets in. Setting the umask instead would change it for
/// every thread of the process.
struct ControlSocketAddress: SocketAddress {
    static let family = sa_family_t(AF_UNIX)

    /// Most bytes of a socket path: `sun_path` less its terminating zero (unix(7)).
    static let pathLengthMax = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    /// Permission bits of the socket file: the owner alone may connect.
    static let mode: mode_t = 0o600

    let path: String
    private let address: sockaddr_un

    /// - Returns: `nil` when `path` is empty, longer than `pathLengthMax` bytes or holds a zero.
    init?(path: String) {
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count <= Self.pathLengthMax, !bytes.contains(0) else {
            return nil
        }
        var address = sockaddr_un()
        address.sun_family = Self.family
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        self.path = path
        self.address = address
    }

    /// Runs `body` on the address as it is, for connecting.
    func withPlainSockAddr<R, E: Error>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws(E) -> R
    ) throws(E) -> R {
        try withUnsafeBytes(of: address) { (bytes) throws(E) -> R in
            try body(
                bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
    }

    /// Runs `body`, which binds, on the address; then makes the file private.
    ///
    /// A chmod that fails is found by the server, which looks at the mode before it is in service.
    func withSockAddr<R, E: Error>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws(E) -> R
    ) throws(E) -> R {
        let result = try withPlainSockAddr(body)
        // The caller looks at what bind(2) left in errno.
        let code = errno
        _ = chmod(path, Self.mode)
        errno = code
        return result
    }
}
