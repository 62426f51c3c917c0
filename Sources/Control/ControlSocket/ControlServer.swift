// The control socket's life: take the path, serve, leave nothing behind.
//
// Path. The caller holds the lock of the runtime directory, so a socket file found there belongs to
// no switch of this directory, but a path can be configured twice: it is replaced only when
// nobody answers at it, and never when it is anything but a socket.
//
// Service. FlyingFox accepts and parses; ControlRoutes answers. FlyingFox ends its whole server
// when accept(2) fails, for instance with EMFILE. A switch must not become unreachable for good
// by that, so an end that nobody asked for is logged and the socket is opened again after a
// pause.
//
// End. `stop` closes listener and connections, waits until they are gone, and removes the file if
// it is still the one that was made here.

internal import FlyingFox
internal import FlyingSocks
import Foundation
import Glibc
public import Logging

/// Serves a switch's state and commands over HTTP on a unix socket.
///
/// Thread-safe: an actor. Start it once; after `stop` it cannot be started again.
public actor ControlServer {
    private var path: String
    /// Where it is to be after `takePlace`.
    private var place: String?
    private let service: any SwitchInterface
    private let logger: Logger
    private var server: HTTPServer?
    private var supervisor: Task<Void, Never>?
    private var file: ControlSocketFile?
    private var isStopping = false

    /// Seconds that one request may take, a reload being the longest.
    private static let requestSecondsMax = 60.0

    /// Pause before a server that ended by itself is started again.
    private static let restartPause = Duration.seconds(1)

    /// - Parameters:
    ///   - path: where to listen; its directory exists, at most 107 bytes.
    ///   - service: what answers; called from many tasks.
    public init(path: String, service: any SwitchInterface, logger: Logger) {
        self.path = path
        self.service = service
        self.logger = logger
    }

    /// Begins to serve; connections are accepted when it returns.
    /// - Throws: `conflict` with the path and a remedy when the path is too long, is taken, or
    ///   cannot be made.
    public func start() async throws(ControlError) { try await start(at: nil) }

    /// The same at a temporary path until `takePlace`; nil: at the path itself.
    func start(at temporary: String?) async throws(ControlError) {
        precondition(supervisor == nil && !isStopping, "a control server is started once")
        if let temporary { (path, place) = (temporary, path) }
        let running = try await open()
        if isStopping { await server?.stop() }
        supervisor = Task { await supervise(running) }
    }

    /// Takes the place of a predecessor's socket: clients find either.
    func takePlace() throws(ControlError) {
        guard let place else { return }
        guard rename(path, place) == 0 else {
            let reason = Self.text(of: errno)
            throw ControlError(
                .conflict, "cannot take the place of \(place.terminalSafe): \(reason)")
        }
        (path, self.place) = (place, nil)
    }

    /// Waits until somebody else has taken the socket's place, and a moment longer for those that
    /// came by the old one.
    func waitUntilReplaced(within limit: Duration) async {
        let deadline = ContinuousClock.now + limit
        while let own = file, let present = try? ControlSocketFile(path),
            present.isSameFile(as: own), ContinuousClock.now < deadline
        {
            try? await Task.sleep(for: .milliseconds(1))
        }
        try? await Task.sleep(for: .milliseconds(20))
    }

    /// Ends the service and removes the socket file. Safe to call twice, and before `start`.
    public func stop() async {
        isStopping = true
        supervisor?.cancel()
        await server?.stop()
        await supervisor?.value
        server = nil
        removeOwnFile()
    }

    // MARK: Serving

    /// A server that listens: its task ends when the server does.
    private func open() async throws(ControlError) -> Task<String, Never> {
        guard let address = ControlSocketAddress(path: path) else {
            throw ControlError(
                .conflict,
                "\(path.terminalSafe): a socket path has 1 to \(ControlSocketAddress.pathLengthMax)"
                    + " bytes, this one has \(path.utf8.count); choose a shorter runtime_dir")
        }
        try clear(address)
        let server = HTTPServer(
            address: address, timeout: Self.requestSecondsMax, logger: .disabled,
            handler: ControlRoutes(service: service, logger: logger))
        // The address narrows the mode after bind, so only a listening server is private for sure.
        let listening = Task { try await server.waitUntilListening() }
        let running = Task {
            do {
                try await server.run()
                return "ended"
            } catch {
                listening.cancel()
                return Self.reason(of: error)
            }
        }
        do {
            try await listening.value
            file = try ControlSocketFile(path)
            guard file?.isPrivateSocket == true else { throw POSIXError(.EPERM) }
        } catch {
            await server.stop()
            let reason = error is CancellationError ? await running.value : Self.reason(of: error)
            throw ControlError(
                .conflict, "cannot listen on \(path.terminalSafe): \(reason)")
        }
        self.server = server
        return running
    }

    /// Waits for the end of the server, and opens it again unless the end was asked for.
    private func supervise(_ first: Task<String, Never>) async {
        var running = first
        while true {
            let reason = await running.value
            if isStopping { return }
            logger.error(
                "control socket closed, opening it again",
                metadata: ["path": "\(path)", "reason": "\(reason)"])
            removeOwnFile()
            guard let reopened = await reopen() else { return }
            running = reopened
        }
    }

    private func reopen() async -> Task<String, Never>? {
        while !isStopping {
            try? await Task.sleep(for: Self.restartPause)
            if isStopping { return nil }
            do throws(ControlError) {
                let running = try await open()
                // `stop` may have come while the socket was being opened.
                if isStopping { await server?.stop() }
                return running
            } catch {
                logger.error("control socket not opened", metadata: ["reason": "\(error)"])
            }
        }
        return nil
    }

    // MARK: The file

    /// Makes room at the path: removes a socket that nobody serves.
    private func clear(_ address: ControlSocketAddress) throws(ControlError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw ControlError(.conflict, "\(path.terminalSafe): \(Self.text(of: errno))")
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ControlError(
                .conflict,
                "\(path.terminalSafe) exists and is not a socket; remove it, or choose another"
                    + " runtime_dir")
        }
        switch Self.connectError(of: address) {
        case ECONNREFUSED, ENOENT: break
        case 0, EAGAIN:
            throw ControlError(
                .conflict,
                "\(path.terminalSafe) is served by a running process; stop it, or choose another"
                    + " runtime_dir")
        case let code:
            throw ControlError(
                .conflict,
                "\(path.terminalSafe) is in use or not ours to replace: \(Self.text(of: code))")
        }
        guard unlink(path) == 0 || errno == ENOENT else {
            throw ControlError(
                .conflict, "cannot replace stale \(path.terminalSafe): \(Self.text(of: errno))")
        }
    }

    /// What connect(2) says without waiting: 0 or EAGAIN (its queue is full) when somebody listens.
    private static func connectError(of address: ControlSocketAddress) -> Int32 {
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK | O_CLOEXEC, 0)
        guard probe >= 0 else { return errno }
        defer { close(probe) }
        return address.withPlainSockAddr { connect(probe, $0, $1) == 0 ? 0 : errno }
    }

    private func removeOwnFile() {
        guard let own = file else { return }
        file = nil
        if let present = try? ControlSocketFile(path), present.isSameFile(as: own) { unlink(path) }
    }

    // MARK: Words

    private static func reason(of error: any Error) -> String {
        if case .failed(_, let code, _)? = error as? SocketError { return text(of: code) }
        return (error as? any LocalizedError)?.errorDescription ?? "\(error)"
    }

    private static func text(of code: Int32) -> String { String(cString: strerror(code)) }
}

/// Which file a path names: tells the socket made here from a successor at the same path.
private struct ControlSocketFile {
    private let status: stat

    init(_ path: String) throws {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw POSIXError(.init(rawValue: errno) ?? .EIO) }
        self.status = status
    }

    /// Whether the file is a socket that its owner alone may connect to.
    var isPrivateSocket: Bool {
        status.st_mode & (S_IFMT | 0o777) == S_IFSOCK | ControlSocketAddress.mode
    }

    func isSameFile(as other: ControlSocketFile) -> Bool {
        status.st_dev == other.status.st_dev && status.st_ino == other.status.st_ino
    }
}
