// A virtual machine reduced to its socket: the calls that libkrun and QEMU make, in their order.
//
// libkrun (src/devices/src/virtio/net/unixgram.rs): bind a path of its own, connect to the port,
// send "VFKT", ask for send and receive buffers of 7 MiB, go nonblocking; never remove the file.
// vfkit (pkg/vf/virtionet.go): bind vfkit-PID-RANDOM.sock beside the port, connect, ask for a send
// buffer of 1 MiB and a receive buffer of 4 MiB, send "VFKT"; remove the file at the end.
// QEMU (net/dgram.c): bind, go nonblocking, never connect; each frame goes out by sendto().
//
// All peers live in the process of the tests. What takes a process that dies is played by the load
// generator.

import Dispatch
import Foundation
import Glibc
import Synchronization
import Testing

/// One end of a port, in the hands of a test.
///
/// Thread safety: the counts are behind a lock, everything else is constant.
final class Peer: Sendable {
    /// How a client behaves at its socket.
    enum Manner: Sendable {
        /// Binds, connects, greets with "VFKT", then sends.
        case libkrun
        /// Binds, connects, asks for buffers, then greets with "VFKT".
        case vfkit
        /// Binds and never connects.
        case qemu
        /// Connects without a path of its own: nobody can answer it.
        case unbound
        /// Has one end of a pair of sockets, whose other end is the port.
        case pair
    }

    /// A call that the kernel refused.
    struct Refusal: Error, Equatable, CustomStringConvertible {
        let call: String
        let code: Int32
        var description: String { "\(call): \(String(cString: strerror(code)))" }
    }

    /// Nothing, or not the right thing, came in time.
    struct Silence: Error, CustomStringConvertible {
        let description: String
    }

    private struct Counts {
        var sent: UInt64 = 0
        var received: UInt64 = 0
    }

    /// The machine's address.
    let mac: String
    /// The path that the socket is bound to; empty for an unbound one.
    let ownPath: String
    private let portPath: String
    private let manner: Manner
    private let socket: Int32
    private let counts = Mutex(Counts())

    /// Attaches to the port at `portPath`.
    /// - Parameter greets: whether "VFKT" is sent, which is an option of libkrun's.
    init(
        _ manner: Manner = .libkrun, mac: String, own ownPath: String, port portPath: String,
        greets: Bool = true
    ) throws {
        self.manner = manner
        self.mac = mac
        self.portPath = portPath
        self.ownPath = manner == .unbound ? "" : ownPath
        socket = Glibc.socket(
            AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw Refusal(call: "socket", code: errno) }
        try attach(greets: greets)
    }

    /// Takes over one end of a pair of sockets. libkrun and QEMU do the same with `fd=`: they go
    /// nonblocking, and neither greet nor ask for buffers.
    init(mac: String, end: Int32) throws {
        (self.mac, manner, ownPath, portPath) = (mac, .pair, "", "a descriptor")
        socket = end
        try demand("fcntl") { fcntl(socket, F_SETFL, O_NONBLOCK) }
    }

    deinit { close(socket) }

    /// Frames that the kernel took from this peer, "VFKT" left out.
    var sentFrames: UInt64 { counts.withLock { $0.sent } }
    /// Datagrams that this peer has read.
    var receivedFrames: UInt64 { counts.withLock { $0.received } }

    /// A frame of this machine to `destination`.
    func frame(to destination: String, number: UInt32 = 0, length: Int = 60) -> TestFrame {
        TestFrame(to: destination, from: mac, number: number, length: length)
    }

    /// Sends one datagram, waiting for room as a patient client does.
    func send(_ frame: TestFrame) throws { try send(frame.bytes) }

    /// Sends one datagram of any content; "VFKT" is counted as a frame as well.
    func send(_ bytes: [UInt8]) throws {
        for _ in 0..<600 {
            let result = withAddress(of: portPath) { address, length in
                manner == .qemu
                    ? sendto(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL), address, length)
                    : Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
            }
            if result >= 0 { return counts.withLock { $0.sent += 1 } }
            guard errno == EAGAIN else { throw Refusal(call: "send", code: errno) }
            var writable = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
            poll(&writable, 1, 100)
        }
        throw Silence(description: "\(portPath) takes nothing for a minute")
    }

    /// Receives the next datagram.
    /// - Throws: `Silence` when none comes within `limit`.
    func receive(within limit: Duration = .patience) async throws -> TestFrame {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try self.receiveBlocking(limit) })
            }
        }
    }

    /// Receives up to `marker`: what came before it, and was sent before it, is all that came.
    func frames(before marker: TestFrame, within limit: Duration = .patience) async throws
        -> [TestFrame]
    {
        var frames: [TestFrame] = []
        while true {
            let frame = try await receive(within: limit)
            if frame == marker { return frames }
            frames.append(frame)
        }
    }

    /// Sends numbered frames to another one, and demands that they come in order, until the task is
    /// cancelled.
    /// - Returns: how many there were.
    func stream(to other: Peer) -> Task<UInt32, any Error> {
        Task.detached {
            var number: UInt32 = 0
            while !Task.isCancelled {
                let burst = number..<(number + 20)
                for number in burst { try self.send(self.frame(to: other.mac, number: number)) }
                for number in burst {
                    let frame = try await other.receive()
                    #expect(frame == self.frame(to: other.mac, number: number))
                }
                number = burst.upperBound
            }
            return number
        }
    }

    /// Goes away as a process that dies does: its file stays.
    func shutDown() {
        // The descriptor stays valid until the end of this object, the socket behind it goes now.
        let nothing = open("/dev/null", O_RDWR | O_CLOEXEC)
        dup2(nothing, socket)
        close(nothing)
    }

    // MARK: Introduction

    /// Broadcasts until every peer has heard every other one: then all are attached, the switch
    /// knows their addresses, and nothing is on its way any more.
    static func introduce(_ peers: [Peer]) async throws {
        for (position, peer) in peers.enumerated() {
            var deaf = peers.indices.filter { $0 != position }
            for attempt in 0..<1000 where !deaf.isEmpty {
                let hello = peer.frame(to: TestFrame.broadcast, number: UInt32(attempt))
                try peer.send(hello)
                var stillDeaf: [Int] = []
                for listener in deaf where !(await peers[listener].hears(hello)) {
                    stillDeaf.append(listener)
                }
                deaf = stillDeaf
            }
            guard deaf.isEmpty else {
                throw Silence(description: "\(peer.portPath) is not heard by all others")
            }
        }
        // A last word of each, for which the others read everything before it.
        for peer in peers {
            let word = peer.frame(to: TestFrame.broadcast, number: .max)
            try peer.send(word)
            for listener in peers where listener !== peer {
                _ = try await listener.frames(before: word)
            }
        }
    }

    /// Whether `hello` comes soon; what comes before it is of no interest yet.
    private func hears(_ hello: TestFrame) async -> Bool {
        (try? await frames(before: hello, within: .milliseconds(50))) != nil
    }

    // MARK: Calls

    private func attach(greets: Bool) throws {
        if manner != .unbound {
            unlink(ownPath)
            try demand("bind") { withAddress(of: ownPath) { Glibc.bind(socket, $0, $1) } }
        }
        if manner != .qemu {
            try demand("connect") { withAddress(of: portPath) { Glibc.connect(socket, $0, $1) } }
        }
        // Both go on with less than they asked for.
        if manner == .libkrun {
            if greets { try greet() }
            ask(for: 7 << 20, SO_SNDBUF)
            ask(for: 7 << 20, SO_RCVBUF)
        }
        if manner == .vfkit {
            ask(for: 1 << 20, SO_SNDBUF)
            ask(for: 4 << 20, SO_RCVBUF)
            if greets { try greet() }
        }
        try demand("fcntl") { fcntl(socket, F_SETFL, O_NONBLOCK) }
    }

    private func greet() throws {
        let magic = Array("VFKT".utf8)
        try demand("send") { Int32(Glibc.send(socket, magic, magic.count, Int32(MSG_NOSIGNAL))) }
    }

    private func ask(for bytes: Int32, _ option: Int32) {
        var size = bytes
        setsockopt(socket, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<Int32>.size))
    }

    private func demand(_ call: String, _ body: () -> Int32) throws {
        guard body() >= 0 else { throw Refusal(call: call, code: errno) }
    }

    private func receiveBlocking(_ limit: Duration) throws -> TestFrame {
        var readable = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        let milliseconds = Int32(limit / .milliseconds(1))
        guard poll(&readable, 1, milliseconds) > 0 else {
            throw Silence(description: "\(ownPath): nothing within \(limit)")
        }
        var buffer = [UInt8](repeating: 0, count: 65_600)
        let length = recv(socket, &buffer, buffer.count, 0)
        guard length >= 0 else { throw Refusal(call: "recv", code: errno) }
        counts.withLock { $0.received += 1 }
        return TestFrame(received: Array(buffer[..<length]))
    }

    private func withAddress<Value>(
        of path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value
    ) -> Value {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { room in
            // The last byte stays zero.
            for (offset, byte) in path.utf8.prefix(room.count - 1).enumerated() {
                room[offset] = byte
            }
        }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
