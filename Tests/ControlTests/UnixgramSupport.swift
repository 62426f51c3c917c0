// What the tests of sockets and devices share: a directory of their own, raw client sockets that do
// what VMs do, and child processes (perl and setpriv belong to every Debian).
import CShimsSystem
import Glibc
import Support
import Testing

@testable import Control

/// Whether the tests may make devices and become other users.
let isRoot = geteuid() == 0

/// A client's socket, which a test drives step by step. With the object it is gone, as if its
/// process had ended.
final class RawPeer {
    let descriptor: Int32

    /// Binds `path`, or stays unbound.
    init(bound path: String? = nil) {
        descriptor = cshims_socket_create_unixgram()
        if let path {
            unlink(path)
            let result = cshims_socket_bind_path(descriptor, path)
            precondition(result == 0, "bind \(path): \(result)")
        }
    }

    deinit { closeForGood(descriptor) }

    /// Connects; the errno, 0 when it went well.
    @discardableResult func connect(_ path: String) -> Int32 {
        -cshims_socket_connect_path(descriptor, path)
    }

    /// Sends on the connection; the errno, 0 when it went well.
    @discardableResult func send(_ bytes: [UInt8]) -> Int32 {
        bytes.withUnsafeBytes { bytes in
            var frame = cshims_gather(
                head: cshims_slice(),
                body: cshims_slice(address: bytes.baseAddress, length: UInt64(bytes.count)))
            return -min(0, cshims_socket_send_batch(descriptor, &frame, 1))
        }
    }

    /// Sends to a path without connecting, as QEMU does; the errno, 0 when it went well.
    @discardableResult func send(_ bytes: [UInt8], to path: String) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let sent = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(
                    descriptor, bytes, bytes.count, Int32(MSG_DONTWAIT), $0,
                    socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        return sent < 0 ? errno : 0
    }

    /// Receives one datagram without waiting.
    func receive() -> [UInt8]? { received(descriptor) }
}

/// One datagram that waits in a socket.
func received(_ descriptor: Int32) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 70_000)
    var datagram = cshims_datagram()
    let count = cshims_socket_receive(descriptor, &bytes, bytes.count, &datagram)
    guard count >= 0 else { return nil }
    if datagram.pidfd >= 0 { _ = cshims_descriptor_close(datagram.pidfd) }
    return Array(bytes[..<Int(count)])
}

/// Waits until a descriptor is readable, half a minute at most.
func waitReadable(_ descriptor: Int32) -> Bool {
    cshims_descriptor_poll(descriptor, Int16(POLLIN), 30_000) > 0
}

/// Two connected descriptors, close-on-exec from the start: other tests start children meanwhile.
func closeOnExecPair() -> [Int32] {
    var pair: [Int32] = [0, 0]
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    precondition(socketpair(AF_UNIX, type, 0, &pair) == 0)
    return pair
}

/// Runs `body` with the file permissions of another user.
///
/// setfsuid(2) acts on the calling thread alone and takes CAP_DAC_OVERRIDE and CAP_CHOWN with it,
/// so tests beside this one stay root.
func asFileSystemUser<Result>(_ uid: uid_t, _ body: () throws -> Result) throws -> Result {
    typealias Setter = @convention(c) (uid_t) -> Int32
    let symbol = try #require(dlsym(nil, "setfsuid"))
    let setFileSystemUser = unsafeBitCast(symbol, to: Setter.self)
    _ = setFileSystemUser(uid)
    defer { _ = setFileSystemUser(0) }
    return try body()
}

/// A child process, killed with the object.
final class Child {
    let pid: pid_t
    private let output: Int32
    private var status: Int32?

    /// Starts a program found in PATH.
    init(_ arguments: [String]) {
        let pipes = closeOnExecPair()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, pipes[1], 1)
        posix_spawn_file_actions_adddup2(&actions, pipes[1], 2)
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let result = posix_spawnp(&child, arguments[0], &actions, nil, &words, environ)
        precondition(result == 0, "\(arguments[0]): errno \(result)")
        _ = close(pipes[1])
        output = pipes[0]
        pid = child
    }

    deinit {
        kill()
        _ = close(output)
    }

    /// Kills the child and waits for its end.
    func kill() {
        guard status == nil else { return }
        _ = Glibc.kill(pid, SIGKILL)
        wait()
    }

    /// Waits for the end; the exit code, or -1 where a signal ended it.
    @discardableResult func wait() -> Int32 {
        if let status { return status }
        var code: Int32 = 0
        while waitpid(pid, &code, 0) < 0, errno == EINTR {}
        let result = code & 0x7f == 0 ? (code >> 8) & 0xff : -1
        status = result
        return result
    }

    /// Everything that the child wrote, after it closed its output.
    func allOutput() -> String {
        var text: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(output, &part, part.count)
            guard count > 0 else { break }
            text += part[..<count]
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// A VM's way in another process: bind `own`, connect to `switchPath`, send, stay.
    static func vm(_ own: String, _ switchPath: String, uid: Int? = nil, frames: Int = 0) -> Child {
        let script = """
            use Socket;
            my ($own, $switch, $frames) = @ARGV;
            unlink $own;
            socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
            bind($s, pack_sockaddr_un($own)) or die "bind: $!";
            connect($s, pack_sockaddr_un($switch)) or die "connect: $!";
            send($s, "VFKT", 0) or die "send: $!";
            send($s, chr($_) x 60, 0) or die "send: $!" for 1 .. $frames;
            while (1) { recv($s, my $frame, 65536, 0); send($s, $frame, 0); }
            """
        let identity =
            uid.map { ["setpriv", "--reuid", "\($0)", "--regid", "\($0)", "--clear-groups"] } ?? []
        return Child(identity + ["perl", "-e", script, own, switchPath, "\(frames)"])
    }
}

/// The four bytes that libkrun and vfkit send first.
let magic: [UInt8] = Array("VFKT".utf8)

/// A frame that is told from others by its last octet.
func frame(_ number: UInt8, length: Int = 60) -> [UInt8] {
    [0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00]
        + [UInt8](repeating: number, count: length - 14)
}

extension UnixgramListener {
    /// Waits for a datagram, then accepts.
    func acceptNext(_ rules: HandshakeRules = .test) throws -> HandshakeOutcome {
        try #require(waitReadable(descriptor))
        return try accept(rules)
    }
}

extension HandshakeRules {
    /// Rules that let everybody in.
    static let test = HandshakeRules(sendBuffer: 400_000, frameLengthMax: 1518)
}
