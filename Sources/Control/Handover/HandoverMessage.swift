// What travels over `handover.sock`: a JSON object and descriptors, one of each way a turn.
//
//   request   {"version": 1, "operation": "attach", ...}          and descriptors
//   reply     {"version": 1, "result": {...}}                     and descriptors
//         or  {"version": 1, "error": {"code": "conflict", "messages": ["..."]}}
//
// The version is that of the whole protocol. A switch refuses a request of another version before
// it looks at anything else; what a version adds within an object is ignored by those who do not
// know it. Each operation decodes the request again as a type of its own.

import Foundation

/// The protocol of `handover.sock`.
enum HandoverProtocol {
    /// Name of the socket in the runtime directory.
    static let socketName = "handover.sock"
    /// Version of requests and replies.
    static let version = 1
    /// Bytes of a message's JSON. What is larger travels in a file (memfd_create(2)).
    static let lengthMax = 64 << 10
    /// Descriptors of a request that are taken over; the kernel closes those beyond.
    static let requestDescriptorsMax = 4
    /// Descriptors of a reply: as many as the kernel carries (SCM_MAX_FD).
    static let replyDescriptorsMax = 253
}

/// One message as it was received.
struct HandoverMessage: Sendable {
    /// A JSON object, at most `HandoverProtocol.lengthMax` bytes.
    var json: Data
    /// What came along; closed with the message unless taken.
    var descriptors: [PassedDescriptor] = []
    /// The JSON was longer than it may be; what was left of it is here.
    var isTooLong = false
    /// Descriptors were sent that could not be received, and are closed.
    var isCut = false
}

/// What every request says.
struct HandoverHeader: Codable, Sendable {
    var version = HandoverProtocol.version
    var operation: String
}

/// A request as it is written: the header's keys and those of its operation, in one object.
struct HandoverRequestBody<Body: Encodable>: Encodable {
    let operation: String
    let body: Body

    func encode(to encoder: any Encoder) throws {
        try HandoverHeader(operation: operation).encode(to: encoder)
        try body.encode(to: encoder)
    }
}

/// A request whose version is understood.
struct HandoverRequest: Sendable {
    let operation: String
    /// The whole request, to be decoded by its operation.
    let json: Data
    let descriptors: [PassedDescriptor]
    /// The process that asks.
    let peer: HandoverPeer
    /// The connection that it came by, for operations that take more than one request.
    let connection: HandoverConnectionID

    /// - Throws: `bad_request` for what is no request, `conflict` for another version.
    init(
        _ message: HandoverMessage, from peer: HandoverPeer, by connection: HandoverConnectionID
    ) throws(ControlError) {
        guard !message.isTooLong else {
            throw ControlError(
                .badRequest, "a request has at most \(HandoverProtocol.lengthMax) bytes")
        }
        // Only the version is sure to be where it is now.
        struct Spoken: Decodable { var version: Int }
        guard let version = try? ReportJSON.decode(Spoken.self, from: message.json).version else {
            throw ControlError(
                .badRequest,
                "a request is a JSON object: {\"version\": \(HandoverProtocol.version), "
                    + "\"operation\": \"...\", ...}")
        }
        guard version == HandoverProtocol.version else {
            throw ControlError(
                .conflict,
                "the request speaks version \(version) of the handover protocol, this switch "
                    + "(\(Version.current)) version \(HandoverProtocol.version)")
        }
        guard let header = try? ReportJSON.decode(HandoverHeader.self, from: message.json) else {
            throw ControlError(.badRequest, "the request names no operation")
        }
        guard !message.isCut else {
            throw ControlError(
                .badRequest,
                "descriptors of the request could not be received: at most "
                    + "\(HandoverProtocol.requestDescriptorsMax) a request, and the switch must be "
                    + "able to open them (RLIMIT_NOFILE)")
        }
        (operation, json) = (header.operation, message.json)
        descriptors = message.descriptors
        (self.peer, self.connection) = (peer, connection)
    }

    /// The request as its operation reads it.
    func decode<Body: Decodable>(_ type: Body.Type) throws(ControlError) -> Body {
        do {
            return try ReportJSON.decode(type, from: json)
        } catch {
            throw ControlError(
                .badRequest, "the request is not what \(operation) takes: \(Self.words(error))")
        }
    }

    private static func words(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .keyNotFound(let key, _): return "\"\(key.stringValue.terminalSafe)\" is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context),
            .dataCorrupted(let context):
            let key = context.codingPath.map(\.stringValue).joined(separator: ".")
            return "\"\(key.terminalSafe)\" has another type"
        @unknown default: return "it cannot be decoded"
        }
    }
}

/// The process at the other end of a connection, as it was when it connected.
struct HandoverPeer: Sendable, Equatable {
    let pid: Int32
    let uid: UInt32
}

/// Tells one connection of a server from another; never used again.
struct HandoverConnectionID: Hashable, Sendable {
    let number: UInt64
}

/// What an operation answers.
struct HandoverReply: Sendable {
    /// The result as JSON.
    let result: Data
    /// Sent along, and closed here once they are.
    var descriptors: [PassedDescriptor] = []

    /// - Throws: `internal` where the result cannot be encoded.
    init(
        _ result: some Encodable, descriptors: [PassedDescriptor] = []
    ) throws(ControlError) {
        do {
            self.result = try ReportJSON.encode(result, layout: .line)
            self.descriptors = descriptors
        } catch {
            throw ControlError(.internalError, "the reply cannot be encoded: \(error)")
        }
    }
}

/// The JSON around a result or a failure.
enum HandoverEnvelope {
    /// A reply as it travels.
    static func message(_ reply: HandoverReply) -> HandoverMessage {
        var json = Data("{\"version\": \(HandoverProtocol.version), \"result\": ".utf8)
        json += reply.result
        json += Data("}".utf8)
        return HandoverMessage(json: json, descriptors: reply.descriptors)
    }

    /// A failure as it travels.
    static func message(_ error: ControlError) -> HandoverMessage {
        let failure = Failure(error: error)
        // Texts can always be encoded.
        return HandoverMessage(json: (try? ReportJSON.encode(failure, layout: .line)) ?? Data())
    }

    /// The result in a reply.
    /// - Throws: the failure that it brings, `bad_request` for what is no reply.
    static func result<Result: Decodable>(
        _ type: Result.Type, of message: HandoverMessage
    ) throws(ControlError) -> Result {
        if let failure = try? ReportJSON.decode(Failure.self, from: message.json) {
            throw failure.error
        }
        guard let success = try? ReportJSON.decode(Success<Result>.self, from: message.json) else {
            throw ControlError(.badRequest, "the switch answered what this program does not know")
        }
        return success.result
    }

    private struct Success<Result: Decodable>: Decodable { let result: Result }

    private struct Failure: Codable {
        var version = HandoverProtocol.version
        var error: ControlError
    }
}
