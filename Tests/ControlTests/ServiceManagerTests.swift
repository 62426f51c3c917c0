// What the service manager hears, over a real socket.

import Foundation
import Glibc
import Testing

@testable import Control

@Suite struct ServiceManagerTests {
    /// A manager's end of the protocol.
    private final class Listener {
        let descriptor: Int32

        init(path: [UInt8]) {
            descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | O_NONBLOCK, 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
            let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
            let result = withUnsafeBytes(of: address) {
                bind(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), length)
            }
            precondition(result == 0, "bind: \(errno)")
        }

        deinit { close(descriptor) }

        /// The next message, by lines; `nil` where none waits.
        func lines() -> [String]? {
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = recv(descriptor, &bytes, bytes.count, 0)
            guard count >= 0 else { return nil }
            return String(decoding: bytes[..<count], as: UTF8.self).components(separatedBy: "\n")
        }
    }

    @Test func `states are told in the words of the protocol`() throws {
        let directory = TemporaryDirectory()
        let path = directory("notify")
        let listener = Listener(path: Array(path.utf8))
        let manager = try #require(ServiceManager(socket: path))
        manager.notify(.ready, status: "2 of 3 ports up")
        #expect(listener.lines() == ["READY=1", "STATUS=2 of 3 ports up"])
        manager.notify(.reloading)
        let reloading = try #require(listener.lines())
        #expect(reloading.count == 2 && reloading[0] == "RELOADING=1")
        let moment = reloading[1].split(separator: "=")
        #expect(moment[0] == "MONOTONIC_USEC" && Int64(moment[1]) ?? 0 > 0)
        manager.notify(.alive)
        #expect(listener.lines() == ["WATCHDOG=1"])
        manager.notify(.stopping)
        #expect(listener.lines() == ["STOPPING=1"])
    }

    @Test func `an abstract name is taken as well`() throws {
        let name = "ringswitch-test-\(getpid())"
        let listener = Listener(path: [0] + Array(name.utf8))
        try #require(ServiceManager(socket: "@" + name)).notify(.ready)
        #expect(listener.lines() == ["READY=1"])
    }

    @Test func `a manager that has gone, or reads nothing, holds up nobody`() throws {
        let directory = TemporaryDirectory()
        let path = directory("notify")
        let manager = try #require(ServiceManager(socket: path))
        manager.notify(.alive)
        let listener = Listener(path: Array(path.utf8))
        for _ in 0..<100 { manager.notify(.alive) }
        #expect(listener.lines() == ["WATCHDOG=1"])
    }

    @Test func `a state waits for a manager that is busy`() async throws {
        let directory = TemporaryDirectory()
        let path = directory("notify")
        let listener = Listener(path: Array(path.utf8))
        let manager = try #require(ServiceManager(socket: path))
        while manager.keep(0, name: "more than it takes") == 0 {}
        let telling = Task.detached { manager.notify(.ready) }
        let deadline = ContinuousClock.now + .seconds(30)
        var heard: [String] = []
        while heard != ["READY=1"], ContinuousClock.now < deadline {
            if let lines = listener.lines() { heard = lines } else { await Task.yield() }
        }
        #expect(heard == ["READY=1"])
        await telling.value
    }

    @Test(arguments: [
        nil, "", "relative", "vsock:2:1234", "/" + String(repeating: "x", count: 107),
    ])
    func `without a socket there is no manager`(socket: String?) {
        #expect(ServiceManager(socket: socket) == nil)
    }

    @Test func `the watchdog is for the process that is meant`() {
        func watchdog(_ time: String?, _ pid: String?) -> Duration? {
            ServiceManager(socket: "/x", watchdogMicroseconds: time, watchdogPID: pid)?.watchdog
        }
        #expect(watchdog("30000000", nil) == .seconds(30))
        #expect(watchdog("500000", "\(getpid())") == .milliseconds(500))
        #expect(watchdog("500000", "1") == nil)
        #expect(watchdog("0", nil) == nil && watchdog("soon", nil) == nil)
        #expect(watchdog(nil, nil) == nil)
    }

    @Test func `one worker that takes no turn is missed`() {
        var pulse = WorkerPulse([5, 9])
        let looks: [[UInt64]] = [[6, 10], [7, 10], [8, 11], [8, 11]]
        #expect(looks.map { pulse.isBeating($0) } == [true, false, true, false])
    }
}
