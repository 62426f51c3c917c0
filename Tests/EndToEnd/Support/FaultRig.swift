// What the fault tests share: ways to take something away from a switch, and a peer at its port.

import Foundation
import Glibc

/// Takes something away from a command that is started.
enum Hardship {
    /// Whether the machine can be changed for one command: it takes root and util-linux.
    static let isAvailable =
        geteuid() == 0
        && ["setpriv", "unshare", "prlimit"].allSatisfy(ChildProcess.isInstalled)

    /// Comment of a test that needs it.
    static let requirement = "needs root and setpriv, unshare and prlimit of util-linux"

    /// A user without any privilege.
    static let nobody: uid_t = 65534

    /// As `nobody`, in no group but its own.
    static let unprivileged = being(nobody)

    /// As a user of this number, in no group but its own.
    static func being(_ user: uid_t) -> [String] {
        ["setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups", "--"]
    }

    /// In a mount namespace of its own, after the shell commands `script`.
    static func mounting(_ script: String) -> [String] {
        ["unshare", "--mount", "sh", "-ec", script + "\nexec \"$@\"", "sh"]
    }

    /// Under a resource limit as prlimit(1) takes it: "nofile=64:64".
    static func limited(_ limit: String) -> [String] { ["prlimit", "--" + limit, "--"] }

    /// After the shell has set up its redirections: "2>&-".
    static func redirected(_ redirections: String) -> [String] {
        ["sh", "-ec", "exec \"$@\" \(redirections)", "sh"]
    }

    /// Makes a directory that belongs to `nobody`.
    static func directoryOfNobody() throws -> TemporaryDirectory { try directory(of: nobody) }

    /// Makes a directory that belongs to a user.
    static func directory(of user: uid_t) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        guard chown(directory.path, user, user) == 0 else {
            throw SpawnedProcess.Failure(code: errno)
        }
        return directory
    }

    /// Writes a configuration with `directory` as the runtime directory and returns its path.
    @discardableResult
    static func configure(
        _ ports: String, in directory: TemporaryDirectory, runtime: String? = nil
    ) throws -> String {
        try directory.write(
            "[switch]\nruntime_dir = \"\(runtime ?? directory.path)\"\n\(ports)",
            to: "ringswitch.toml")
    }

    /// Runs a switch that is expected to give up.
    /// - Returns: its exit code and what it logged, without the times.
    static func failingStart(
        _ ports: String, in directory: TemporaryDirectory, runtime: String? = nil,
        under prefix: [String] = []
    ) async throws -> FailedStart {
        let file = try configure(ports, in: directory, runtime: runtime)
        let result = try await ChildProcess.run(
            prefix + [SwitchProcess.executable, "run", "--config", file])
        return FailedStart(ending: result.ending, messages: messages(of: result.standardError))
    }

    /// The lines of a log without their times.
    static func messages(of log: String) -> [String] {
        log.split(separator: "\n").map { String($0.drop { $0 != " " }.dropFirst()) }
    }

    /// One unixgram port, open to everybody.
    static func port(_ name: String) -> String {
        "[[port]]\nname = \"\(name)\"\ntype = \"unixgram\"\nmode = \"0666\"\n"
    }

    /// A TAP port.
    static func tap(_ device: String, _ keys: String = "") -> String {
        "[[port]]\nname = \"host\"\ntype = \"tap\"\ndevice = \"\(device)\"\n\(keys)"
    }

    /// How a switch gave up.
    struct FailedStart: Equatable {
        let ending: ChildProcess.Ending
        let messages: [String]

        /// Exit code 1 and this one error.
        static func error(_ message: String) -> FailedStart {
            FailedStart(ending: .exited(1), messages: ["error " + message])
        }
    }
}

/// A datagram socket of the test's own that behaves like libkrun's.
final class FaultPeer: Sendable {
    let descriptor: Int32
    let path: String

    /// Binds `path` and does nothing else.
    init(at path: String, mode: mode_t = 0o666) throws {
        self.path = path
        descriptor = socket(
            AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw SpawnedProcess.Failure(code: errno) }
        try check(Self.withAddress(path) { bind(descriptor, $0, $1) })
        try check(chmod(path, mode))
    }

    deinit { close(descriptor) }

    /// Closes the socket's end as the end of its process would; the file stays.
    func leave() {
        let nothing = open("/dev/null", O_RDWR | O_CLOEXEC)
        dup2(nothing, descriptor)
        close(nothing)
    }

    /// Connects to a port and says nothing.
    func connect(_ port: String) throws {
        try check(Self.withAddress(port) { Glibc.connect(descriptor, $0, $1) })
    }

    /// Connects to a port and introduces itself.
    func join(_ port: String) throws {
        try connect(port)
        try send(Array("VFKT".utf8))
    }

    /// Sends one datagram.
    func send(_ bytes: [UInt8]) throws {
        try check(Int32(Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))))
    }

    /// Sends a broadcast frame of 60 bytes, told by its number.
    func broadcast(_ number: UInt8, from host: UInt16 = 1) throws {
        try send(Self.frame(number, from: host))
    }

    /// The frame that `broadcast` sends.
    static func frame(_ number: UInt8, from host: UInt16 = 1) -> [UInt8] {
        [UInt8](repeating: 0xff, count: 6) + [2, 0, 0, 0, UInt8(host >> 8), UInt8(host & 0xff)]
            + [0x88, 0xb5, number] + [UInt8](repeating: 0, count: 45)
    }

    /// The next datagram; `nil` when none comes within `limit`.
    func receive(within limit: Duration = .patience) async -> [UInt8]? {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                var entry = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
                var bytes = [UInt8](repeating: 0, count: 2048)
                let isThere = poll(&entry, 1, Int32(limit / .milliseconds(1))) > 0
                let count = isThere ? recv(self.descriptor, &bytes, bytes.count, 0) : -1
                continuation.resume(returning: count < 0 ? nil : Array(bytes[..<count]))
            }
        }
    }

    private func check(_ result: Int32) throws {
        if result < 0 { throw SpawnedProcess.Failure(code: errno) }
    }

    private static func withAddress(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) {
            $0.copyBytes(from: path.utf8.prefix($0.count - 1))
        }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
