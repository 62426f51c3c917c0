// The server over a real socket: routes, refusals, the file it makes and removes.

import Foundation
import Glibc
import Support
import Testing

@testable import Control

@Suite(.timeLimit(.minutes(5)))
struct ControlSocketServerTests {
    @Test func `every route answers its client`() async throws {
        let service = StubSwitch()
        try await withServer(service) { client, _ in
            let answers = try await blocking {
                (
                    status: try client.status(), macs: try client.macs(),
                    some: try client.macs(port: "vm1"), flush: try client.flushMACs(),
                    flushSome: try client.flushMACs(port: "vm1"), reload: try client.reload()
                )
            }
            #expect(answers.status == .sample())
            #expect(answers.macs == .sample)
            #expect(answers.some.entries.map(\.port) == ["vm1"])
            #expect(answers.flush == FlushReport(flushed: 2))
            #expect(answers.flushSome == FlushReport(flushed: 2))
            #expect(answers.reload == ReloadReport(unchanged: ["vm1"]))
            let overview = String(
                decoding: try await blocking { try client.get("/") }, as: UTF8.self)
            #expect(overview.contains("GET  /metrics"))
            let metrics = String(
                decoding: try await blocking { try client.get("/metrics") }, as: UTF8.self)
            #expect(metrics == PrometheusText.render(.sample()))
        }
        #expect(await service.flushes == [nil, "vm1"])
    }

    @Test func `a port name with reserved characters reaches the switch unchanged`() async throws {
        let service = StubSwitch()
        try await withServer(service) { client, _ in
            _ = try await blocking { try client.flushMACs(port: "a&b=ü/%") }
        }
        #expect(await service.flushes == ["a&b=ü/%"])
    }

    @Test func `ports are added, changed and removed, and the configuration is given out`()
        async throws
    {
        let service = StubSwitch()
        let added = PortEdit(name: "lab-{n}", keys: ["type": "unixgram", "path": "/ü\"\\/{n}"])
        let changed = PortEdit(name: "vm1", keys: ["mode": "", "queue_delay": "1ms"])
        try await withServer(service) { client, _ in
            let reports = try await blocking {
                [
                    try client.addPort(added), try client.setPort(changed),
                    try client.removePort("a&b=ü/%"),
                ]
            }
            #expect(reports[0] == ReloadReport(added: ["lab-{n}"]))
            #expect(reports[1] == ReloadReport(changed: ["vm1"]))
            #expect(reports[2] == ReloadReport(removed: ["a&b=ü/%"]))
            let text = try await blocking { try client.runningConfiguration() }
            #expect(text == "[[port]]\nname = \"vm1\"\n")
            await #expect(throws: ControlClientError.self) {
                try await blocking { try client.removePort("vm9") }
            }
        }
        #expect(await service.edits == [added, changed])
    }

    @Test(arguments: ["", "nonsense", "{\"name\": 3}", String(repeating: "x", count: 65_537)])
    func `a body that describes no port is refused`(body: String) async throws {
        try await withServer { client, _ in
            let error = await #expect(throws: ControlClientError.self) {
                try await blocking {
                    var reply = Data()
                    try client.exchange("POST", "/ports/add", Data(body.utf8), 60) { reply += $0 }
                    _ = try client.bodyOfSuccess(reply)
                }
            }
            guard case .declined(let refusal) = error else {
                Issue.record("not declined: \(String(describing: error))")
                return
            }
            #expect(refusal.code == .badRequest)
        }
    }

    @Test func `a refusal carries its code and every message`() async throws {
        let refusal = ControlError(.invalidConfiguration, ["lan.toml:3: a", "lan.toml:9: b"])
        try await withServer(StubSwitch(reload: .failure(refusal))) { client, _ in
            await #expect(throws: ControlClientError.declined(refusal)) {
                try await blocking { try client.reload() }
            }
            let unknown = ControlError(.notFound, "no port is named vm9")
            await #expect(throws: ControlClientError.declined(unknown)) {
                try await blocking { try client.macs(port: "vm9") }
            }
        }
    }

    @Test(arguments: [
        ("/nowhere", ControlError.Code.notFound), ("/reload", .methodNotAllowed),
        ("/macs?prot=vm1", .badRequest), ("/macs?port=vm1&port=host", .badRequest),
        ("/status?x=1", .badRequest),
    ])
    func `a request that fits no route is refused`(
        target: String, code: ControlError.Code
    ) async throws {
        try await withServer { client, _ in
            let error = await #expect(throws: ControlClientError.self) {
                try await blocking { try client.get(target) }
            }
            guard case .declined(let refusal) = error else {
                Issue.record("not declined: \(String(describing: error))")
                return
            }
            #expect(refusal.code == code)
        }
    }

    @Test(.enabled(if: access("/usr/bin/curl", X_OK) == 0, "needs curl"))
    func `curl reads the status`() async throws {
        try await withServer { client, _ in
            let reply = try await run(
                "/usr/bin/curl", "--silent", "--show-error", "--include", "--max-time", "60",
                "--unix-socket", client.socketPath, "http://ringswitch/status")
            let parts = reply.components(separatedBy: "\r\n\r\n")
            #expect(parts[0].hasPrefix("HTTP/1.1 200 OK"))
            #expect(parts[0].contains("Content-Type: application/json"))
            let report = try ReportJSON.decode(StatusReport.self, from: Data(parts[1].utf8))
            #expect(report == .sample())
        }
    }

    @Test(.enabled(if: access("/usr/bin/curl", X_OK) == 0, "needs curl"))
    func `curl sees a refusal as JSON with a fitting status`() async throws {
        let refusal = ControlError(.conflict, "busy")
        try await withServer(StubSwitch(reload: .failure(refusal))) { client, _ in
            let reply = try await run(
                "/usr/bin/curl", "--silent", "--max-time", "60", "--write-out", "%{http_code}",
                "--request", "POST", "--unix-socket", client.socketPath, "http://x/reload")
            #expect(reply.hasSuffix("409"))
            #expect(reply.contains(#""code" : "conflict""#))
        }
    }

    @Test func `the socket is the owner's alone, and gone after stop`() async throws {
        try await withServer { client, server in
            var status = stat()
            #expect(lstat(client.socketPath, &status) == 0)
            #expect(status.st_mode & 0o7777 == 0o600)
            await server.stop()
            #expect(lstat(client.socketPath, &status) == -1 && errno == ENOENT)
            #expect(throws: ControlClientError.noSwitch(lookedAt: [client.socketPath])) {
                try client.status()
            }
        }
    }

    @Test func `a stale socket is replaced`() async throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/control.sock"
        closeForGood(makeUnixSocket(at: path, listening: true))
        #expect(throws: ControlClientError.stale(path)) {
            try ControlClient(socketPath: path).status()
        }
        let server = ControlServer(path: path, service: StubSwitch(), logger: .quiet)
        try await server.start()
        let name = try await blocking { try ControlClient.patient(path).status().name }
        #expect(name == "lan0")
        await server.stop()
    }

    @Test func `a live socket is left alone`() async throws {
        try await withServer { client, _ in
            let second = ControlServer(
                path: client.socketPath, service: StubSwitch(), logger: .quiet)
            let error = await #expect(throws: ControlError.self) { try await second.start() }
            #expect(error?.code == .conflict)
            #expect(error?.description.contains("served by a running process") == true)
            await second.stop()
            let report = try await blocking { try client.status() }
            #expect(report.name == "lan0")
        }
    }

    @Test func `a file that is no socket is left alone`() async throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/control.sock"
        try Data("precious".utf8).write(to: URL(filePath: path))
        let server = ControlServer(path: path, service: StubSwitch(), logger: .quiet)
        let error = await #expect(throws: ControlError.self) { try await server.start() }
        #expect(error?.description.contains("is not a socket") == true)
        await server.stop()
        #expect(try Data(contentsOf: URL(filePath: path)) == Data("precious".utf8))
    }

    @Test func `stop leaves a successor's socket in place`() async throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/control.sock"
        let server = ControlServer(path: path, service: StubSwitch(), logger: .quiet)
        try await server.start()
        // The old file keeps its inode under the second name, so the new one gets another.
        #expect(rename(path, path + ".old") == 0)
        let successor = makeUnixSocket(at: path, listening: true)
        await server.stop()
        #expect(access(path, F_OK) == 0)
        close(successor)
    }

    @Test func `a path that does not fit names its limit`() async throws {
        let path = "/tmp/" + String(repeating: "x", count: 103)
        let server = ControlServer(path: path, service: StubSwitch(), logger: .quiet)
        let error = await #expect(throws: ControlError.self) { try await server.start() }
        #expect(error?.description.contains("1 to 107 bytes, this one has 108") == true)
        #expect(throws: ControlClientError.pathTooLong(path)) {
            try ControlClient(socketPath: path).status()
        }
    }

    @Test func `the longest path works`() async throws {
        let directory = TemporaryDirectory()
        let file = String(repeating: "y", count: 106 - directory.path.utf8.count)
        let path = directory.path + "/" + file
        #expect(path.utf8.count == 107)
        let server = ControlServer(path: path, service: StubSwitch(), logger: .quiet)
        try await server.start()
        let name = try await blocking { try ControlClient.patient(path).status().name }
        #expect(name == "lan0")
        await server.stop()
        #expect(access(path, F_OK) == -1)
    }

    @Test func `a missing directory is named`() async {
        let server = ControlServer(
            path: "/tmp/ringswitch-test-none/control.sock", service: StubSwitch(), logger: .quiet)
        let error = await #expect(throws: ControlError.self) { try await server.start() }
        #expect(
            error?.description
                == "cannot listen on /tmp/ringswitch-test-none/control.sock:"
                + " No such file or directory")
    }

    @Test func `servers start and stop many times, connections open or not`() async throws {
        for round in 0..<30 {
            try await withServer { client, server in
                var idle: [Int32] = []
                if round.isMultiple(of: 2) {
                    idle.append(connected(to: client.socketPath))
                    _ = try await blocking { try client.status() }
                }
                await server.stop()
                for descriptor in idle { close(descriptor) }
            }
        }
    }

    @Test func `forty clients at once are all answered`() async throws {
        try await withServer { client, _ in
            let names = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<40 {
                    group.addTask { try await blocking { try client.status().name } }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(names == Array(repeating: "lan0", count: 40))
        }
    }

    private func connected(to path: String) -> Int32 {
        let descriptor = socket(AF_UNIX, closingStream, 0)
        let result = ControlSocketAddress(path: path)!.withPlainSockAddr {
            connect(descriptor, $0, $1)
        }
        #expect(result == 0)
        return descriptor
    }

    /// Standard output of a program that must succeed.
    private func run(_ program: String, _ arguments: String...) async throws -> String {
        let (text, status) = try await blocking {
            let process = Process()
            process.executableURL = URL(filePath: program)
            process.arguments = arguments
            let output = Pipe()
            process.standardOutput = output
            try process.run()
            let text = try output.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            return (text, process.terminationStatus)
        }
        #expect(status == 0)
        return String(decoding: text, as: UTF8.self)
    }
}
