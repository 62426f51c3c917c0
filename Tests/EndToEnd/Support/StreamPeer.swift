// A virtual machine on a socket that has connections: what QEMU, libkrun's unixstream, User Mode
// Linux and hyperkit do, in their order.

import Dispatch
import Foundation
import Glibc
import Synchronization

/// One end of a `stream`, `seqpacket` or `vpnkit` port, in the hands of a test.
///
/// Thread safety: one caller at a time; the descriptor is constant.
final class StreamPeer: Sendable {
    /// How frames are put into the socket.
    enum Framing: Sendable {
        /// Behind their length: QEMU `-netdev stream`, libkrun unixstream.
        case stream
        /// A packet each: User Mode Linux, `transport=bess`.
        case seqpacket
        /// After a handshake, behind their length: hyperkit.
        case vpnkit

        fileprivate var prefixLength: Int { self == .stream ? 4 : self == .vpnkit ? 2 : 0 }
    }

    /// The switch closed the connection.
    struct Closed: Error {}

    let mac: String
    let framing: Framing
    private let socket: Int32
    private let counts = Mutex((sent: UInt64(0), received: UInt64(0)))

    /// Connects to the port at `path`; with `vpnkit`, says what hyperkit says.
    init(_ framing: Framing = .stream, mac: String, port path: String) throws {
        self.mac = mac
        self.framing = framing
        let type = framing == .seqpacket ? SOCK_SEQPACKET : SOCK_STREAM
        socket = Glibc.socket(AF_UNIX, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard Self.withAddress(of: path, { connect(socket, $0, $1) }) == 0 else {
            throw Peer.Refusal(call: "connect", code: errno)
        }
    }

    /// Takes over a connection that the switch made, or one end of a pair.
    init(_ framing: Framing, mac: String, adopting socket: Int32) {
        (self.framing, self.mac, self.socket) = (framing, mac, socket)
    }

    deinit { close(socket) }

    /// Listens on `path` until the switch connects.
    static func accepting(_ framing: Framing, mac: String, at path: String) async throws
        -> StreamPeer
    {
        let type = framing == .seqpacket ? SOCK_SEQPACKET : SOCK_STREAM
        let listener = Glibc.socket(AF_UNIX, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer {
            close(listener)
            unlink(path)
        }
        guard withAddress(of: path, { bind(listener, $0, $1) }) == 0, listen(listener, 1) == 0
        else { throw Peer.Refusal(call: "bind", code: errno) }
        guard await ready(listener, POLLIN, .patience) else {
            throw Peer.Silence(description: "nobody connects to \(path)")
        }
        return StreamPeer(framing, mac: mac, adopting: accept(listener, nil, nil))
    }

    var sentFrames: UInt64 { counts.withLock { $0.sent } }
    var receivedFrames: UInt64 { counts.withLock { $0.received } }

    /// Asks the kernel for a send buffer.
    func ask(forSendBuffer bytes: Int32) {
        var bytes = bytes
        setsockopt(
            socket, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    }

    /// What hyperkit says first, and the 258 bytes that it is answered.
    func shakeHands(uuid: String) async throws -> [UInt8] {
        let greeting = Array("VMN3T".utf8) + [22, 0, 0, 0] + Array(repeating: 0x30, count: 40)
        try await send(raw: greeting)
        guard try await read(49) == greeting else { throw Closed() }
        try await send(raw: [1] + Array(uuid.utf8.prefix(36)) + [0, 0, 0, 0])
        return try await read(258)
    }

    func frame(to destination: String, number: UInt32 = 0, length: Int = 60) -> TestFrame {
        TestFrame(to: destination, from: mac, number: number, length: length)
    }

    /// The bytes of a frame in the socket.
    func encoded(_ frame: TestFrame) -> [UInt8] {
        let count = frame.bytes.count
        let little = (0..<framing.prefixLength).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) }
        return (framing == .stream ? little.reversed() : little) + frame.bytes
    }

    func send(_ frames: TestFrame...) async throws {
        for frame in frames {
            try await send(raw: encoded(frame))
            counts.withLock { $0.sent += 1 }
        }
    }

    /// Sends bytes of any content.
    func send(raw bytes: [UInt8]) async throws {
        var position = 0
        while position < bytes.count {
            let count = bytes[position...].withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
            if count > 0 {
                position += count
            } else if errno == EAGAIN {
                guard await Self.ready(socket, POLLOUT, .patience) else {
                    throw Peer.Silence(description: "the switch takes nothing")
                }
            } else {
                throw Closed()
            }
        }
    }

    /// Receives the next frame.
    func receive(within limit: Duration = .patience) async throws -> TestFrame {
        let bytes: [UInt8]
        if framing == .seqpacket {
            bytes = try await read(70_000, whole: false, within: limit)
        } else {
            let prefix = try await read(framing.prefixLength, within: limit)
            let ordered = framing == .stream ? prefix : prefix.reversed()
            bytes = try await read(ordered.reduce(0) { $0 << 8 | Int($1) }, within: limit)
        }
        counts.withLock { $0.received += 1 }
        return TestFrame(received: bytes)
    }

    /// Receives up to a frame from the machine `mac`, as others may have come before.
    func receive(from mac: String) async throws -> TestFrame {
        while true {
            let frame = try await receive()
            if frame.source == mac { return frame }
        }
    }

    /// Receives up to a certain frame; floods may come before it.
    func receive(_ frame: TestFrame) async throws {
        while try await receive() != frame {}
    }

    /// Waits until the switch closes the connection.
    func waitForEnd(within limit: Duration = .patience) async throws {
        do {
            while true { _ = try await read(4096, whole: false, within: limit) }
        } catch is Closed {}
    }

    /// Goes away.
    func shutDown() { shutdown(socket, Int32(SHUT_RDWR)) }

    private func read(
        _ count: Int, whole: Bool = true, within limit: Duration = .patience
    ) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            guard await Self.ready(socket, POLLIN, limit) else {
                throw Peer.Silence(description: "\(mac) receives nothing within \(limit)")
            }
            var buffer = [UInt8](repeating: 0, count: count - bytes.count)
            let result = recv(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if result < 0, errno == EAGAIN { continue }
            guard result > 0 else { throw Closed() }
            bytes += buffer[..<result]
            if !whole { break }
        }
        return bytes
    }

    private static func ready(_ socket: Int32, _ events: Int32, _ limit: Duration) async -> Bool {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                var descriptor = pollfd(fd: socket, events: Int16(events), revents: 0)
                let milliseconds = Int32(limit / .milliseconds(1))
                continuation.resume(returning: poll(&descriptor, 1, milliseconds) > 0)
            }
        }
    }

    private static func withAddress<Result>(
        of path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
        return withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
