// A service behind a handover socket that answers with what it got, and raw clients of it.

import CShimsSystem
import Foundation
import Glibc

@testable import Control

/// Answers `echo` with its words and as many of its descriptors as it says, `count` with how many
/// descriptors came, and everything else with a failure.
@ControlActor
final class EchoService: HandoverService {
    struct Words: Codable, Equatable { var words: String }
    struct Count: Codable, Equatable {
        var descriptors: Int
        var pid: Int32
        var uid: UInt32
    }

    private(set) var endedConnections = 0
    private(set) var connections: Set<HandoverConnectionID> = []
    /// Closed, answers wait until it opens.
    let gate = Gate()
    nonisolated init() {}

    func answer(_ request: HandoverRequest) async throws(ControlError) -> HandoverReply {
        connections.insert(request.connection)
        switch request.operation {
        case "echo":
            return try HandoverReply(
                request.decode(Words.self), descriptors: request.descriptors)
        case "count":
            return try HandoverReply(
                Count(
                    descriptors: request.descriptors.count, pid: request.peer.pid,
                    uid: request.peer.uid))
        case "wait":
            await gate.wait()
            return try HandoverReply(Words(words: "waited"))
        default:
            throw ControlError(.notFound, "there is no operation \(request.operation.terminalSafe)")
        }
    }

    func connectionEnded(_ connection: HandoverConnectionID) { endedConnections += 1 }
}

/// Serves `service` at a new path while `body` runs, and stops in any case.
@ControlActor
func withHandover<Result: Sendable>(
    _ service: any HandoverService, silenceMillisecondsMax: Int = 60_000,
    _ body: @Sendable (String, HandoverServer) async throws -> Result
) async throws -> Result {
    let directory = TemporaryDirectory()
    let path = directory("handover.sock")
    let server = HandoverServer(
        path: path, service: service, logger: .quiet,
        silenceMillisecondsMax: silenceMillisecondsMax)
    try server.start()
    do {
        let result = try await body(path, server)
        await server.stop()
        return result
    } catch {
        await server.stop()
        throw error
    }
}

/// A client that sends what it likes. Blocking: for threads of its own.
final class RawHandoverClient: Sendable {
    let socket: HandoverSocket

    init(_ path: String) {
        let descriptor = cshims_message_socket_create()
        let result = cshims_socket_connect_path(descriptor, path)
        precondition(descriptor >= 0 && result == 0, "connect \(path): \(result)")
        socket = HandoverSocket(adopting: descriptor)
    }

    /// Sends a text as it stands; the errno.
    @discardableResult func send(_ text: String, descriptors: [Int32] = []) -> Int32 {
        socket.send(Data(text.utf8), descriptors: descriptors)
    }

    /// The next message, `nil` once the server has ended the connection or said nothing for half a
    /// minute.
    func receive() -> String? {
        while true {
            switch socket.receive(descriptorsMax: 253) {
            case .message(let message): return String(decoding: message.json, as: UTF8.self)
            case .end: return nil
            case .nothing: guard waitReadable(socket.descriptor) else { return nil }
            }
        }
    }
}

/// A pair of sockets of which one is passed around: the other hangs up when nobody has it any more.
final class Tracer: Sendable {
    private let reading: Int32
    let writing: Int32

    init() {
        let ends = closeOnExecPair()
        (reading, writing) = (ends[0], ends[1])
    }

    deinit { close(reading) }

    /// Closes the own copy, and waits until every other one is closed as well.
    func allAreClosed() -> Bool {
        close(writing)
        return cshims_descriptor_poll(reading, Int16(POLLIN), 30_000) > 0
    }
}
