import CShimsSystem
import Foundation
import Glibc
import Support

@testable import Control

/// The switch's end of one port, played by the test.
final class PlayedPort {
    /// Longest wait for anything that must happen.
    static let limitMilliseconds: Int32 = 30_000

    let descriptor: Int32
    private(set) var isConnected = false

    init(path: String) throws {
        descriptor = try SystemFailure.check(cshims_socket_create_unixgram(), "socket")
        try SystemFailure.check(cshims_socket_bind_path(descriptor, path), "bind")
    }

    deinit { closeForGood(descriptor) }

    /// The next datagram, `nil` if none comes in time. The first source is connected back to.
    func receive(milliseconds: Int32 = limitMilliseconds) -> [UInt8]? {
        guard cshims_descriptor_poll(descriptor, Int16(POLLIN), milliseconds) > 0 else {
            return nil
        }
        var bytes = [UInt8](repeating: 0, count: 70_000)
        var datagram = cshims_datagram()
        let length = cshims_socket_receive(descriptor, &bytes, bytes.count, &datagram)
        guard length >= 0 else { return nil }
        if !isConnected {
            isConnected = cshims_socket_connect(descriptor, &datagram.source) == 0
        }
        return Array(bytes[..<Int(length)])
    }

    /// Sends one datagram; false if it was refused.
    func send(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var frame = cshims_gather(
                head: cshims_slice(),
                body: cshims_slice(address: bytes.baseAddress, length: UInt64(bytes.count)))
            return cshims_socket_send_batch(descriptor, &frame, 1) == 1
        }
    }
}

/// Two connected datagram sockets: `near` stands for a TAP device, which also gives and takes one
/// frame a call.
final class PlayedDevice {
    let near: Int32
    let far: Int32

    init() throws {
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &pair) == 0 else {
            throw SystemFailure(what: "socketpair", code: errno)
        }
        (near, far) = (pair[0], pair[1])
    }

    deinit {
        close(near)
        close(far)
    }

    /// Lets the namespace send a frame; waits for room.
    func send(_ frame: [UInt8]) -> Bool {
        while true {
            if Glibc.send(far, frame, frame.count, 0) == frame.count { return true }
            let wait = PlayedPort.limitMilliseconds
            guard cshims_descriptor_poll(far, Int16(POLLOUT), wait) > 0 else { return false }
        }
    }

    /// The next frame that the namespace gets, `nil` if none comes in time.
    func receive() -> [UInt8]? {
        let wait = PlayedPort.limitMilliseconds
        guard cshims_descriptor_poll(far, Int16(POLLIN), wait) > 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 70_000)
        let length = recv(far, &bytes, bytes.count, 0)
        return length < 0 ? nil : Array(bytes[..<length])
    }
}

/// A frame of `length` bytes that carries `number`.
func numberedFrame(_ number: Int, length: Int = 60) -> [UInt8] {
    var frame = [UInt8](repeating: 0xAA, count: length)
    for shift in 0..<4 { frame[14 + shift] = UInt8(truncatingIfNeeded: number >> (8 * shift)) }
    return frame
}

/// Whether this process may make named network namespaces with TAP devices in them.
let mayMakeNamespaces: Bool = {
    guard geteuid() == 0, access("/dev/net/tun", R_OK | W_OK) == 0 else { return false }
    let name = "rs-test-probe-\(getpid())"
    guard cshims_netns_create(name) == 1 else { return false }
    return cshims_netns_delete(name) == 0
}()
