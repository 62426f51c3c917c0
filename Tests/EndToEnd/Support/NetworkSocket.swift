// TCP and UDP of an isolated host, in the hands of a test.

import Foundation
import Glibc

/// A socket of a host on the LAN. Every call has a limit, after which it fails.
final class NetworkSocket: Sendable {
    /// A call that the kernel refused, or that took too long.
    struct Refusal: Error, CustomStringConvertible {
        let call: String
        let code: Int32
        var description: String { "\(call): \(String(cString: strerror(code)))" }
    }

    let descriptor: Int32

    private init(owning descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Makes a socket in the namespace of the calling thread.
    private convenience init(_ address: SocketAddress, _ type: __socket_type) throws {
        let number = try Self.demand("socket") {
            socket(address.family, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
        }
        self.init(owning: number)
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(number, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    deinit { close(descriptor) }

    /// A socket of `host` that takes connections to a port.
    static func listening(_ host: NetworkNamespace, at address: String, _ port: UInt16) async throws
        -> NetworkSocket
    {
        try await host.run {
            let socket = try bound(address, port, SOCK_STREAM)
            try demand("listen") { listen(socket.descriptor, 1) }
            return socket
        }
    }

    /// A socket of `host` that takes datagrams.
    static func receiving(_ host: NetworkNamespace, at address: String, _ port: UInt16) async throws
        -> NetworkSocket
    {
        try await host.run { try bound(address, port, SOCK_DGRAM) }
    }

    /// A socket of `host`, connected to another host.
    static func connected(
        _ host: NetworkNamespace, to address: String, _ port: UInt16,
        _ type: __socket_type = SOCK_STREAM
    ) async throws -> NetworkSocket {
        try await host.run {
            let address = try SocketAddress(address, port)
            let socket = try NetworkSocket(address, type)
            try demand("connect") { address.withPointer { connect(socket.descriptor, $0, $1) } }
            return socket
        }
    }

    private static func bound(_ address: String, _ port: UInt16, _ type: __socket_type) throws
        -> NetworkSocket
    {
        let address = try SocketAddress(address, port)
        let socket = try NetworkSocket(address, type)
        var isReused: Int32 = 1
        setsockopt(socket.descriptor, SOL_SOCKET, SO_REUSEADDR, &isReused, 4)
        try demand("bind") { address.withPointer { bind(socket.descriptor, $0, $1) } }
        return socket
    }

    /// Takes the next connection.
    func accept() throws -> NetworkSocket {
        NetworkSocket(owning: try Self.demand("accept") { Glibc.accept(descriptor, nil, nil) })
    }

    /// Sends one datagram, or as much of a stream as the call takes; returns how much.
    func send(_ bytes: UnsafeRawBufferPointer) throws -> Int {
        let count = Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        guard count >= 0 else { throw Refusal(call: "send", code: errno) }
        return count
    }

    /// Receives one datagram, or what there is of a stream; 0 at its end.
    func receive(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
        guard count >= 0 else { throw Refusal(call: "recv", code: errno) }
        return count
    }

    /// Ends the stream towards the other host.
    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    @discardableResult
    static func demand(_ call: String, _ body: () -> Int32) throws -> Int32 {
        let result = body()
        guard result >= 0 else { throw Refusal(call: call, code: errno) }
        return result
    }
}

/// An address and a port of IPv4 or IPv6.
private struct SocketAddress {
    let family: Int32
    private let bytes: [UInt8]

    init(_ text: String, _ port: UInt16) throws {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(text, "\(port)", &hints, &found) == 0, let found else {
            throw NetworkSocket.Refusal(call: "getaddrinfo \(text)", code: EINVAL)
        }
        defer { freeaddrinfo(found) }
        family = found.pointee.ai_family
        bytes = Array(
            UnsafeRawBufferPointer(
                start: found.pointee.ai_addr, count: Int(found.pointee.ai_addrlen)))
    }

    func withPointer<Value>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
        bytes.withUnsafeBytes {
            body($0.assumingMemoryBound(to: sockaddr.self).baseAddress!, socklen_t($0.count))
        }
    }
}
