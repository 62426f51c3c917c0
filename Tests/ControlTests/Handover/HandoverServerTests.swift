// The handover socket with real clients, well-behaved and otherwise.

import CShimsSystem
import Foundation
import Glibc
import Testing

@testable import Control

@Suite(.timeLimit(.minutes(5)))
struct HandoverServerTests {
    @Test func `a request and its descriptors come through, and so does the reply`() async throws {
        let service = EchoService()
        try await withHandover(service) { path, _ in
            let (words, sameFile) = try await blocking {
                let tracer = Tracer()
                let client = try HandoverClient(path: path)
                let reply = try client.request(
                    "echo", EchoService.Words(words: "ü\n\""), descriptors: [tracer.writing],
                    as: EchoService.Words.self)
                let same =
                    FileIdentity(descriptor: reply.descriptors[0].number)
                    == FileIdentity(descriptor: tracer.writing)
                return (reply.result, same)
            }
            #expect(words == EchoService.Words(words: "ü\n\""))
            #expect(sameFile)
        }
    }

    @Test func `a connection takes several requests, and both sides know who is there`()
        async throws
    {
        let service = EchoService()
        try await withHandover(service) { path, _ in
            let counts = try await blocking {
                let client = try HandoverClient(path: path)
                #expect(client.peer == HandoverPeer(pid: getpid(), uid: geteuid()))
                return try (0..<3).map { count in
                    let descriptors = [Int32](repeating: 0, count: count)
                    return try client.request(
                        "count", [String: String](), descriptors: descriptors,
                        as: EchoService.Count.self
                    ).result
                }
            }
            #expect(counts.map(\.descriptors) == [0, 1, 2])
            #expect(counts.allSatisfy { $0.pid == getpid() && $0.uid == geteuid() })
        }
        #expect(await service.connections.count == 1)
        #expect(await service.endedConnections == 1)
    }

    @Test func `descriptors that nobody takes are closed`() async throws {
        try await withHandover(EchoService()) { path, _ in
            let isClosed = try await blocking {
                let tracer = Tracer()
                let client = try HandoverClient(path: path)
                let result = try client.request(
                    "count", [String: String](), descriptors: [tracer.writing, tracer.writing],
                    as: EchoService.Count.self)
                #expect(result.result.descriptors == 2)
                return tracer.allAreClosed()
            }
            #expect(isClosed)
        }
    }

    @Test(arguments: [5, 253]) func `more descriptors than a request has are refused and closed`(
        count: Int
    ) async throws {
        try await withHandover(EchoService()) { path, _ in
            let (answer, isClosed) = try await blocking {
                let tracer = Tracer()
                let client = RawHandoverClient(path)
                client.send(
                    #"{"version": 1, "operation": "count"}"#,
                    descriptors: [Int32](repeating: tracer.writing, count: count))
                return (client.receive(), tracer.allAreClosed())
            }
            #expect(answer?.contains("at most 4 a request") == true, "\(answer ?? "none")")
            #expect(isClosed)
        }
    }

    @Test(arguments: [
        ("nonsense", "bad_request", "a request is a JSON object"),
        ("[1]", "bad_request", "a request is a JSON object"),
        (#"{"operation": "count"}"#, "bad_request", "a request is a JSON object"),
        (#"{"version": 2}"#, "conflict", "speaks version 2"),
        (#"{"version": 1}"#, "bad_request", "names no operation"),
        (#"{"version": 1, "operation": "fly"}"#, "not_found", "no operation fly"),
        (#"{"version": 1, "operation": "echo"}"#, "bad_request", #"\"words\" is missing"#),
        (#"{"version": 1, "operation": "echo", "words": 1}"#, "bad_request", "another type"),
        ("(too long)", "bad_request", "at most 65536 bytes"),
    ])
    func `what is no request is refused, and the next one served`(
        text: String, code: String, words: String
    ) async throws {
        try await withHandover(EchoService()) { path, _ in
            let (answer, next) = try await blocking {
                let client = RawHandoverClient(path)
                let isTooLong = text == "(too long)"
                let sent = isTooLong ? String(repeating: "x", count: 65_537) : text
                #expect(client.sendWhole(sent) == 0)
                let answer = client.receive()
                client.send(#"{"version": 1, "operation": "echo", "words": "after"}"#)
                return (answer, client.receive())
            }
            #expect(answer?.contains(#""code":"\#(code)""#) == true, "\(answer ?? "none")")
            #expect(answer?.contains(words) == true, "\(answer ?? "none")")
            #expect(next?.contains("after") == true)
        }
    }

    // Who may be silent for as long as this speaks in time also on a machine that is busy.
    @Test func `a silent client is let go, and one that is answered slowly is not`() async throws {
        let service = EchoService()
        try await withHandover(service, silenceMillisecondsMax: 3000) { path, _ in
            async let waiting = blocking {
                let client = try HandoverClient(path: path)
                return try client.request(
                    "wait", [String: String](), as: EchoService.Words.self
                ).result.words
            }
            let silent = try await blocking { RawHandoverClient(path).receive() }
            #expect(silent == nil)
            // The silent one took longer than anybody may be silent.
            await service.gate.open()
            #expect(try await waiting == "waited")
        }
    }

    @Test func `silent clients keep nobody out for long`() async throws {
        try await withHandover(EchoService(), silenceMillisecondsMax: 3000) { path, _ in
            let count = try await blocking {
                let silent = (0..<HandoverServer.connectionsMax).map { _ in RawHandoverClient(path)
                }
                let client = try HandoverClient(path: path)
                return try withExtendedLifetime(silent) {
                    try client.request(
                        "count", [String: String](), as: EchoService.Count.self
                    ).result.descriptors
                }
            }
            #expect(count == 0)
        }
    }

    @Test func `a client that asks on and on and reads nothing is let go`() async throws {
        let service = EchoService()
        try await withHandover(service) { path, _ in
            let (code, next) = try await blocking {
                let client = RawHandoverClient(path)
                let words = String(repeating: "x", count: 40_000)
                let text = #"{"version": 1, "operation": "echo", "words": "\#(words)"}"#
                var code = client.send(text)
                while code == 0 || code == EAGAIN {
                    _ = cshims_descriptor_poll(client.socket.descriptor, Int16(POLLOUT), 10_000)
                    code = client.send(text)
                }
                let next = try HandoverClient(path: path).request(
                    "count", [String: String](), as: EchoService.Count.self)
                return (code, next.result.descriptors)
            }
            #expect(code == EPIPE || code == ECONNRESET)
            #expect(next == 0)
        }
    }

    @Test func `the file is private, and gone after the end`() async throws {
        let path = try await withHandover(EchoService()) { path, _ in
            var status = stat()
            #expect(lstat(path, &status) == 0)
            #expect(status.st_mode & (S_IFMT | 0o777) == S_IFSOCK | 0o600)
            return path
        }
        #expect(access(path, F_OK) != 0)
    }

    @Test func `the end waits for what is being answered, and not for the silent`() async throws {
        let service = EchoService()
        try await withHandover(service) { path, server in
            async let waiting = blocking { () -> String? in
                let client = RawHandoverClient(path)
                client.send(#"{"version": 1, "operation": "wait"}"#)
                return client.receive()
            }
            let silent = try await blocking { RawHandoverClient(path) }
            while await service.connections.isEmpty { await Task.yield() }
            async let end: Void = server.stop()
            #expect(try await blocking { silent.receive() } == nil)
            await service.gate.open()
            await end
            _ = try await waiting
        }
        #expect(await service.endedConnections == 2)
    }
}

extension RawHandoverClient {
    /// Sends a text of any length.
    func sendWhole(_ text: String) -> Int32 {
        let result = Array(text.utf8).withUnsafeBufferPointer {
            cshims_message_send(socket.descriptor, $0.baseAddress, $0.count, nil, 0)
        }
        return -min(result, 0)
    }
}
