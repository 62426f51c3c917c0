// The other side of `handover.sock`: synchronous, as a command has nothing else to do meanwhile.

internal import CShimsSystem
internal import Foundation
internal import Glibc

/// A connection to a running switch that carries descriptors.
///
/// Not thread-safe: one request at a time.
final class HandoverClient {
    /// Path of the socket, for messages.
    let path: String
    private let socket: HandoverSocket
    private static let connectSecondsMax = 2
    private static let connectPauseMilliseconds: Int32 = 20

    /// Connects.
    init(path: String) throws(ControlClientError) {
        guard path.utf8.count <= ControlSocketAddress.pathLengthMax else {
            throw .pathTooLong(path)
        }
        let descriptor = cshims_message_socket_create()
        guard descriptor >= 0 else { throw .system(path, code: -descriptor) }
        self.path = path
        socket = HandoverSocket(adopting: descriptor)
        let deadline = ContinuousClock.now + .seconds(Self.connectSecondsMax)
        while true {
            let result = cshims_socket_connect_path(descriptor, path)
            if result >= 0 { return }
            // As many as may wait do so already.
            guard result == -EAGAIN else {
                throw ControlClientError(errno: -result, path: path)
            }
            guard ContinuousClock.now < deadline else {
                throw .notResponding(path, seconds: Self.connectSecondsMax)
            }
            _ = poll(nil, 0, Self.connectPauseMilliseconds)
        }
    }

    /// The process that listens; `nil` where the kernel does not tell.
    var peer: HandoverPeer? { socket.peer }

    /// Sends one request and waits for its reply.
    /// - Parameters:
    ///   - operation: what to do.
    ///   - body: the keys of the request beside version and operation; encoded as an object.
    ///   - descriptors: sent along; they stay the caller's.
    ///   - secondsMax: how long the switch may take.
    /// - Returns: the result, and what came with it.
    func request<Body: Encodable, Result: Decodable>(
        _ operation: String, _ body: Body, descriptors: [Int32] = [],
        as type: Result.Type, secondsMax: Int = 60
    ) throws(ControlClientError) -> (result: Result, descriptors: [PassedDescriptor]) {
        let reply = try exchange(operation, body, descriptors, secondsMax)
        guard !reply.isTooLong, !reply.isCut else {
            throw .malformedReply(path, "more than this program could receive")
        }
        do throws(ControlError) {
            return (try HandoverEnvelope.result(type, of: reply), reply.descriptors)
        } catch {
            throw .declined(error)
        }
    }

    /// Waits until the other side has closed the connection; not longer than so many seconds.
    func waitForEnd(secondsMax: Int) {
        let deadline = ContinuousClock.now + .seconds(secondsMax)
        while true {
            if case .end = socket.receive(descriptorsMax: 0) { return }
            let left = deadline - ContinuousClock.now
            guard left > .zero else { return }
            _ = Waiting.forReadable(
                [socket.descriptor], milliseconds: Int32(left / .milliseconds(1)) + 1)
        }
    }

    private func exchange(
        _ operation: String, _ body: some Encodable, _ descriptors: [Int32], _ secondsMax: Int
    ) throws(ControlClientError) -> HandoverMessage {
        let request = HandoverRequestBody(operation: operation, body: body)
        guard let json = try? ReportJSON.encode(request, layout: .line) else {
            throw .malformedReply(path, "the request cannot be encoded")
        }
        let code = socket.send(json, descriptors: descriptors)
        guard code == 0 else { throw ControlClientError(errno: code, path: path) }
        let deadline = ContinuousClock.now + .seconds(secondsMax)
        while true {
            switch socket.receive(descriptorsMax: HandoverProtocol.replyDescriptorsMax) {
            case .message(let reply): return reply
            case .end: throw .connectionLost(path)
            case .nothing: break
            }
            let left = deadline - ContinuousClock.now
            guard left > .zero else { throw .notResponding(path, seconds: secondsMax) }
            _ = Waiting.forReadable(
                [socket.descriptor], milliseconds: Int32(left / .milliseconds(1)) + 1)
        }
    }
}
