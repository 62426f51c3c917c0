// Events over a real socket: the route, the client, readers that stop reading.

import Foundation
import Glibc
import Testing

@testable import Control

@Suite(.serialized, .timeLimit(.minutes(5)))
struct EventStreamTests {
    @Test func `a reply in chunks is understood however its bytes arrive`() throws {
        let reply =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "5\r\none\nt\r\n3\r\nwo\n\r\n1\r\n\n\r\nA\r\nthree\nfour\r\n1\r\n\n\r\n0\r\n\r\n"
        for length in 1...reply.utf8.count {
            var stream = EventLines()
            var lines: [String] = []
            var rest = Data(reply.utf8)
            while !rest.isEmpty {
                lines += try stream.take(Data(rest.prefix(length)))
                rest = Data(rest.dropFirst(length))
            }
            #expect(lines == ["one", "two", "", "three", "four"], "\(length)")
            #expect(stream.isFinished && stream.refusal == nil)
        }
    }

    @Test(arguments: ["HTTP/1.1 200 OK\r\n\r\nxyz\r\n", "HTTP/1.1 200 OK\r\n\r\n-5\r\n"])
    func `a reply that is not in chunks is refused`(reply: String) {
        var stream = EventLines()
        #expect(throws: (any Error).self) { try stream.take(Data(reply.utf8)) }
    }

    @Test func `a client follows what is published, to the end`() async throws {
        let service = StubSwitch()
        try await withServer(service) { client, _ in
            let added = SwitchEvent.portAdded("a")
            let told = try await blocking {
                var lines: [String] = []
                try client.follow { line in
                    lines.append(line)
                    // The first line says that the others follow.
                    if lines.count == 1 {
                        service.hub.publish(added)
                        service.hub.publish(.stopping(name: "lan0"))
                        service.hub.finish()
                    }
                }
                return lines
            }
            let events = try told.map {
                try ReportJSON.decode(SwitchEvent.self, from: Data($0.utf8))
            }
            #expect(events.map(\.type) == [.ready, .portAdded, .stopping])
            #expect(events[1] == added)
        }
    }

    @Test func `what the caller throws ends the stream and frees its place`() async throws {
        struct Enough: Error {}
        let service = StubSwitch()
        try await withServer(service) { client, _ in
            await #expect(throws: Enough.self) {
                try await blocking { try client.follow { _ in throw Enough() } }
            }
            // On a thread of its own: those of the server have to find out.
            try await blocking {
                while service.hub.hasReaders {
                    service.hub.publish(.portAdded("a"))
                    sched_yield()
                }
            }
        }
    }

    @Test func `an unknown type is refused with the nearest one`() async throws {
        try await withServer { client, _ in
            let error = await #expect(throws: ControlClientError.self) {
                try await blocking { try client.get("/events?type=port_add") }
            }
            #expect(
                error?.description
                    == "no type of events is called port_add; did you mean port_added?")
            let second = await #expect(throws: ControlClientError.self) {
                try await blocking { try client.get("/events?typ=ready") }
            }
            #expect(second?.description == "/events takes the parameter type, not typ")
        }
    }

    @Test func `a switch that goes without a word is told`() async throws {
        let service = StubSwitch()
        let directory = TemporaryDirectory()
        let path = directory.path + "/control.sock"
        let server = ControlServer(path: path, service: service, logger: .quiet)
        try await server.start()
        await #expect(throws: ControlClientError.connectionLost(path)) {
            try await blocking {
                try ControlClient(socketPath: path).follow { _ in
                    Task { await server.stop() }
                }
            }
        }
        await server.stop()
    }

    @Test func `readers that stop reading hold up neither events nor requests`() async throws {
        let service = StubSwitch()
        try await withServer(service) { client, _ in
            var stuck: [Int32] = []
            defer { for descriptor in stuck { close(descriptor) } }
            for _ in 0..<4 {
                let descriptor = socket(AF_UNIX, closingStream, 0)
                stuck.append(descriptor)
                let result = ControlSocketAddress(path: client.socketPath)!.withPlainSockAddr {
                    connect(descriptor, $0, $1)
                }
                #expect(result == 0)
                let request = "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"
                #expect(write(descriptor, request, request.utf8.count) == request.utf8.count)
                let count = try await blocking {
                    var first: UInt8 = 0
                    return read(descriptor, &first, 1)
                }
                #expect(count == 1)
            }
            // More than the buffers of the readers and of their sockets hold together.
            let long = SwitchEvent.portAdded(String(repeating: "a", count: 4000))
            for _ in 0..<300 { service.hub.publish(long) }
            let name = try await blocking { try client.status().name }
            #expect(name == "lan0")
            let marker = SwitchEvent.portRemoved("marker")
            let told = try await blocking {
                var last = ""
                try client.follow { line in
                    if last.isEmpty {
                        service.hub.publish(marker)
                        service.hub.finish()
                    }
                    last = line
                }
                return last
            }
            #expect(try ReportJSON.decode(SwitchEvent.self, from: Data(told.utf8)) == marker)
        }
    }
}
