import CShimsSystem
import Foundation
import Glibc
import Logging
import Testing

@testable import Control

/// Joining a port, and joining it again, against a port that the test plays.
@Suite struct AttachJoinTests {
    private let directory: TemporaryDirectory
    private let path: String
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init() throws {
        directory = TemporaryDirectory()
        path = directory.path + "/port.sock"
    }

    @Test func `a guest joins as libkrun does: from a path of its own, the magic first`() throws {
        let port = try PlayedPort(path: path)
        let joiner = try Joiner(portPath: path, logger: logger)
        try joiner.join()
        #expect(joiner.state.current.isJoined)
        #expect(port.receive() == Array("VFKT".utf8))
        #expect(port.isConnected)
        #expect(port.send(numberedFrame(1)))
    }

    @Test func `the guest's own path and directory are removed with it`() throws {
        let port = try PlayedPort(path: path)
        var joiner: Joiner? = try Joiner(portPath: path, logger: logger)
        var address = cshims_unix_address()
        try SystemFailure.check(
            cshims_socket_name(try #require(joiner).descriptor, &address), "getsockname")
        let own = withUnsafeBytes(of: address.bytes) { bytes in
            String(decoding: bytes[2...].prefix { $0 != 0 }, as: UTF8.self)
        }
        #expect(FileManager.default.fileExists(atPath: own))
        joiner = nil
        #expect(!FileManager.default.fileExists(atPath: own))
        #expect(
            !FileManager.default.fileExists(
                atPath: URL(fileURLWithPath: own).deletingLastPathComponent().path))
        withExtendedLifetime(port) {}
    }

    @Test func `a port that is not there, dead or of another kind is told apart`() throws {
        let joiner = try Joiner(portPath: path, logger: logger)
        func reason() -> String? {
            do throws(AttachError) { try joiner.join() } catch { return error.description }
            return nil
        }
        #expect(try #require(reason()).contains("no such socket"))
        var port: PlayedPort? = try PlayedPort(path: path)
        withExtendedLifetime(port) {}
        port = nil
        #expect(try #require(reason()).contains("nobody listens"))
        unlink(path)
        let other = try PlayedPort(path: path)
        let rival = try Joiner(portPath: path, logger: logger)
        try rival.join()
        #expect(other.receive() != nil)
        #expect(try #require(reason()).contains("taken by another peer"))
        #expect(!joiner.state.current.isJoined)
    }

    @Test func `looking after a living connection sends nothing`() throws {
        let port = try PlayedPort(path: path)
        let joiner = try Joiner(portPath: path, logger: logger)
        try joiner.join()
        #expect(port.receive() != nil)
        #expect(port.send(numberedFrame(7)))
        let epoch = joiner.state.current
        for _ in 0..<3 { _ = joiner.attend() }
        #expect(joiner.state.current == epoch)
        #expect(port.receive(milliseconds: 0) == nil)
        // What was on its way to the guest is still there.
        #expect(cshims_descriptor_poll(joiner.descriptor, Int16(POLLIN), 0) > 0)
    }

    @Test func `a switch that died is noticed without sending, and joined again with the magic`()
        throws
    {
        var port: PlayedPort? = try PlayedPort(path: path)
        let joiner = try Joiner(portPath: path, logger: logger)
        try joiner.join()
        #expect(port?.receive() != nil)
        port = nil
        #expect(joiner.attend() <= 1000)
        #expect(!joiner.state.current.isJoined)
        _ = joiner.attend()
        #expect(!joiner.state.current.isJoined)

        unlink(path)
        let successor = try PlayedPort(path: path)
        _ = joiner.attend()
        #expect(joiner.state.current.isJoined)
        #expect(successor.receive() == Array("VFKT".utf8))
        #expect(joiner.joinCount == 2)
    }

    @Test func `a port whose path was bound anew is joined again`() throws {
        let port = try PlayedPort(path: path)
        let joiner = try Joiner(portPath: path, logger: logger)
        try joiner.join()
        #expect(port.receive() != nil)
        unlink(path)
        _ = joiner.attend()
        #expect(joiner.state.current.isJoined, "a missing name proves nothing")
        let successor = try PlayedPort(path: path)
        _ = joiner.attend()
        #expect(successor.receive() == Array("VFKT".utf8))
    }

    @Test func `tries to join again grow rarer, to one a second`() throws {
        let joiner = try Joiner(portPath: path, logger: logger)
        let delays = (0..<6).map { _ in joiner.attend() }
        #expect(delays == [100, 200, 400, 800, 1000, 1000])
    }

    @Test func `a refusal of a former connection does not end the present one`() {
        let state = JoinState()
        #expect(!state.end(state.current))
        state.begin()
        let former = state.current
        state.begin()
        #expect(state.current.isJoined)
        #expect(!state.end(former))
        #expect(state.current.isJoined)
        #expect(state.end(state.current))
        #expect(!state.current.isJoined)
    }
}
