// The client and the locator against sockets that are dead, silent, or no switch at all.

import Foundation
import Glibc
import Support
import Testing

@testable import Control

@Suite(.timeLimit(.minutes(5)))
struct ControlSocketClientTests {
    @Test func `no socket says how to start a switch`() {
        let locator = SwitchLocator(directories: ["/nonexistent/ringswitch"])
        let error = #expect(throws: ControlClientError.self) { try locator.locate() }
        #expect(
            error?.description == "no switch is running (looked at"
                + " /nonexistent/ringswitch/control.sock); start one with: ringswitch run")
    }

    @Test func `a lone stale socket is reported as refused`() throws {
        let directory = TemporaryDirectory()
        closeForGood(makeUnixSocket(at: directory.path + "/control.sock", listening: true))
        let client = try SwitchLocator(directories: [directory.path]).locate()
        let error = #expect(throws: ControlClientError.self) { try client.status() }
        #expect(error?.description.hasPrefix("connection refused:") == true)
    }

    @Test func `a switch that says nothing is given two seconds`() async throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/control.sock"
        let listener = makeUnixSocket(at: path, listening: true)
        defer { close(listener) }
        let start = ContinuousClock.now
        await #expect(throws: ControlClientError.notResponding(path, seconds: 2)) {
            try await blocking { try ControlClient(socketPath: path).status() }
        }
        let waited = ContinuousClock.now - start
        #expect(waited >= .seconds(1.9) && waited < .seconds(10))
    }

    @Test func `a listener whose queue is full counts as not responding`() async throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/control.sock"
        let listener = makeUnixSocket(at: path, listening: true)
        var waiting: [Int32] = []
        defer { for descriptor in [listener] + waiting { close(descriptor) } }
        let address = ControlSocketAddress(path: path)!
        while true {
            let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK, 0)
            waiting.append(probe)
            if address.withPlainSockAddr({ connect(probe, $0, $1) }) != 0 { break }
        }
        await #expect(throws: ControlClientError.notResponding(path, seconds: 2)) {
            try await blocking { try ControlClient(socketPath: path).status() }
        }
    }

    @Test(arguments: [
        "", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 503 No\r\n\r\n<html>",
    ])
    func `an answer that is no report is refused`(answer: String) async throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/control.sock"
        let listener = makeUnixSocket(at: path, listening: true)
        Thread.detachNewThread {
            let peer = accept(listener, nil, nil)
            var request = [UInt8](repeating: 0, count: 4096)
            _ = read(peer, &request, request.count)
            _ = answer.withCString { write(peer, $0, strlen($0)) }
            // Also where another test's process has a copy of it.
            shutdown(peer, Int32(SHUT_RDWR))
            close(peer)
            close(listener)
        }
        let error = await #expect(throws: ControlClientError.self) {
            try await blocking { try ControlClient.patient(path).status() }
        }
        guard case .malformedReply(path, _) = error else {
            Issue.record("unexpected: \(String(describing: error))")
            return
        }
    }

    @Test(arguments: [
        (EACCES, ControlClientError.permissionDenied("/s")), (EPERM, .permissionDenied("/s")),
        (ECONNREFUSED, .stale("/s")), (ENOENT, .noSwitch(lookedAt: ["/s"])),
        (ENOTDIR, .noSwitch(lookedAt: ["/s"])), (EMFILE, .system("/s", code: EMFILE)),
    ])
    func `a failed connect is told by its cause`(code: Int32, error: ControlClientError) {
        #expect(ControlClientError(errno: code, path: "/s") == error)
        #expect(error.description.contains("/s"))
    }

    @Test func `of several switches one is chosen by name, or all are listed`() async throws {
        let directory = TemporaryDirectory()
        var servers: [ControlServer] = []
        for name in ["lan0", "lab"] {
            let home = directory.path + "/" + name
            try FileManager.default.createDirectory(
                atPath: home, withIntermediateDirectories: false)
            let server = ControlServer(
                path: home + "/control.sock", service: NamedSwitch(name: name), logger: .quiet)
            try await server.start()
            servers.append(server)
        }
        let stale = directory.path + "/control.sock"
        closeForGood(makeUnixSocket(at: stale, listening: true))

        var patient = SwitchLocator(directories: [directory.path])
        patient.makeClient = { .patient($0) }
        let locator = patient
        let lab = try await blocking { try locator.locate(name: "lab") }
        #expect(lab.socketPath == directory.path + "/lab/control.sock")
        await #expect(throws: ControlClientError.unknownName("lan9", running: ["lab", "lan0"])) {
            try await blocking { try locator.locate(name: "lan9") }
        }
        let error = await #expect(throws: ControlClientError.self) {
            try await blocking { try locator.locate() }
        }
        #expect(
            error?.description == """
                several switches are running; choose one with --switch NAME or --socket PATH:
                  lab (pid 42): --socket \(directory.path)/lab/control.sock
                  lan0 (pid 42): --socket \(directory.path)/lan0/control.sock
                """)
        await servers[1].stop()
        let remaining = try await blocking { try locator.locate().status().name }
        #expect(remaining == "lan0")
        await servers[0].stop()
    }
}

/// A switch that knows its name.
private struct NamedSwitch: SwitchInterface {
    let name: String

    func status() -> StatusReport { .sample(name: name) }
    func macs(port: String?) -> MACReport { MACReport(entries: []) }
    func flushMACs(port: String?) -> Int { 0 }
    func reload() -> ReloadReport { ReloadReport() }
    func addPort(_ edit: PortEdit) -> ReloadReport { ReloadReport() }
    func setPort(_ edit: PortEdit) -> ReloadReport { ReloadReport() }
    func removePort(_ name: String) -> ReloadReport { ReloadReport() }
    func runningConfiguration() -> String { "" }
    func events(of kinds: Set<SwitchEvent.Kind>) throws(ControlError) -> EventReader {
        throw ControlError(.conflict, "no events")
    }
}
