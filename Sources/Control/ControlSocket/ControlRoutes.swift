// The routes of the control socket: HTTP in, reports out.
//
//   GET  /                     this list, as text
//   GET  /status               StatusReport
//   GET  /macs[?port=P]        MACReport
//   POST /macs/flush[?port=P]  FlushReport
//   POST /reload               ReloadReport
//   POST /ports/add            PortEdit in, ReloadReport out
//   POST /ports/set            the same
//   POST /ports/remove?port=P  ReloadReport
//   GET  /configuration        what the switch runs with, as TOML
//   GET  /events[?type=T]...   SwitchEvent, one a line, until the reader or the switch leaves
//   GET  /metrics              Prometheus text 0.0.4
//
// JSON but for the first, the last and the configuration. Failures are {"error": {"code",
// "messages"}} with a fitting HTTP status. Query parameters that a route does not know are refused,
// so that a misspelt `?prot=vm1` does not flush every port.

internal import FlyingFox
import Foundation
import Logging

/// Answers HTTP requests from a switch.
struct ControlRoutes: HTTPHandler {
    let service: any SwitchInterface
    let logger: Logger

    func handleRequest(_ request: HTTPRequest) async -> HTTPResponse {
        do throws(ControlError) {
            return try await answer(request)
        } catch {
            return failure(error)
        }
    }

    private func answer(_ request: HTTPRequest) async throws(ControlError) -> HTTPResponse {
        switch (request.path, request.method) {
        case ("/", .GET), ("", .GET):
            try refuseParameters(of: request)
            return text(Self.overview, type: "text/plain; charset=utf-8")
        case ("/status", .GET):
            try refuseParameters(of: request)
            return try json(await service.status())
        case ("/metrics", .GET):
            try refuseParameters(of: request)
            return text(
                PrometheusText.render(await service.status()), type: PrometheusText.contentType)
        case ("/macs", .GET):
            return try json(await service.macs(port: portParameter(of: request)))
        case ("/macs/flush", .POST):
            let port = try portParameter(of: request)
            let report = FlushReport(flushed: try await service.flushMACs(port: port))
            return try json(report)
        case ("/events", .GET):
            return EventBody(reader: try await service.events(of: kinds(of: request))).response
        case ("/reload", .POST):
            try refuseParameters(of: request)
            return try json(await service.reload())
        default:
            return try await answerAboutPorts(request)
        }
    }

    private func answerAboutPorts(
        _ request: HTTPRequest
    ) async throws(ControlError) -> HTTPResponse {
        switch (request.path, request.method) {
        case ("/ports/add", .POST):
            return try json(await service.addPort(edit(of: request)))
        case ("/ports/set", .POST):
            return try json(await service.setPort(edit(of: request)))
        case ("/ports/remove", .POST):
            guard let port = try portParameter(of: request) else {
                throw ControlError(.badRequest, "/ports/remove takes the parameter port")
            }
            return try json(await service.removePort(port))
        case ("/configuration", .GET):
            try refuseParameters(of: request)
            return text(await service.runningConfiguration(), type: "application/toml")
        default:
            throw unroutable(request)
        }
    }

    /// Methods of each path, for the answer to a request with another one.
    private static let methods = [
        "/": "GET", "/status": "GET", "/metrics": "GET", "/macs": "GET", "/macs/flush": "POST",
        "/reload": "POST", "/events": "GET", "/ports/add": "POST", "/ports/set": "POST",
        "/ports/remove": "POST", "/configuration": "GET",
    ]

    private static let overview = """
        ringswitch control socket

        GET  /status               ports, peers, counters (JSON)
        GET  /macs[?port=P]        the MAC table (JSON)
        POST /macs/flush[?port=P]  forget learned addresses (JSON)
        POST /reload               read the configuration again (JSON)
        POST /ports/add            a new port: {"name": "vm5", "keys": {"type": "unixgram"}}
        POST /ports/set            other keys of a port: {"name": "vm5", "keys": {"mode": "0666"}}
        POST /ports/remove?port=P  no such port any more
        GET  /configuration        what the switch runs with (TOML)
        GET  /events[?type=T]...   what happens, as lines of JSON without end
        GET  /metrics              Prometheus text format 0.0.4

        curl --unix-socket control.sock http://ringswitch/status

        """

    private func unroutable(_ request: HTTPRequest) -> ControlError {
        guard let method = Self.methods[request.path] else {
            return ControlError(
                .notFound, "no route \(request.path.terminalSafe); GET / lists the routes")
        }
        return ControlError(.methodNotAllowed, "\(request.path) takes \(method)")
    }

    // MARK: Parameters

    /// Largest body that is read, in bytes.
    private static let bodyLengthMax = 64 << 10

    /// The change that the body of a request describes.
    private func edit(of request: HTTPRequest) async throws(ControlError) -> PortEdit {
        try refuseParameters(of: request)
        guard let length = request.bodySequence.count, length <= Self.bodyLengthMax else {
            throw ControlError(
                .badRequest, "\(request.path) takes a body of at most \(Self.bodyLengthMax) bytes")
        }
        do {
            return try ReportJSON.decode(PortEdit.self, from: await request.bodyData)
        } catch {
            throw ControlError(
                .badRequest,
                "\(request.path) takes JSON: {\"name\": NAME, \"keys\": {KEY: TEXT, ...}}")
        }
    }

    private func refuseParameters(of request: HTTPRequest) throws(ControlError) {
        guard let first = request.query.first else { return }
        throw ControlError(
            .badRequest, "\(request.path) takes no parameter \(first.name.terminalSafe)")
    }

    /// The value of `port`, `nil` when it is absent.
    private func portParameter(of request: HTTPRequest) throws(ControlError) -> String? {
        if let other = request.query.first(where: { $0.name != "port" }) {
            throw ControlError(
                .badRequest,
                "\(request.path) takes the parameter port, not \(other.name.terminalSafe)")
        }
        guard request.query.count <= 1 else {
            throw ControlError(.badRequest, "\(request.path) takes the parameter port once")
        }
        return request.query.first?.value
    }

    /// The types of events that are asked for; all where none is named.
    private func kinds(
        of request: HTTPRequest
    ) throws(ControlError) -> Set<SwitchEvent.Kind> {
        var kinds: Set<SwitchEvent.Kind> = []
        for item in request.query {
            guard item.name == "type" else {
                throw ControlError(
                    .badRequest, "/events takes the parameter type, not \(item.name.terminalSafe)")
            }
            guard let kind = SwitchEvent.Kind(rawValue: item.value) else {
                let words = SwitchEvent.Kind.allCases.map(\.rawValue)
                let nearest = Spelling.nearest(to: item.value, among: words)
                throw ControlError(
                    .badRequest,
                    "no type of events is called \(item.value.terminalSafe)"
                        + (nearest.map { "; did you mean \($0)?" } ?? ""))
            }
            kinds.insert(kind)
        }
        return kinds.isEmpty ? Set(SwitchEvent.Kind.allCases) : kinds
    }

    // MARK: Answers

    private func text(_ text: String, type: String) -> HTTPResponse {
        HTTPResponse(statusCode: .ok, headers: [.contentType: type], body: Data(text.utf8))
    }

    private func json(
        _ report: some Encodable, status: HTTPStatusCode = .ok
    ) throws(ControlError) -> HTTPResponse {
        do {
            let body = try ReportJSON.encode(report) + Data("\n".utf8)
            return HTTPResponse(
                statusCode: status, headers: [.contentType: "application/json"], body: body)
        } catch {
            logger.error("report not encodable", metadata: ["error": "\(error)"])
            throw ControlError(.internalError, "the report cannot be encoded: \(error)")
        }
    }

    private func failure(_ error: ControlError) -> HTTPResponse {
        let status: HTTPStatusCode =
            switch error.code {
            case .notFound: .notFound
            case .invalidConfiguration: HTTPStatusCode(422, phrase: "Unprocessable Content")
            case .conflict: .conflict
            case .methodNotAllowed: .methodNotAllowed
            case .badRequest: .badRequest
            case .internalError: .internalServerError
            }
        do {
            return try json(ErrorEnvelope(error: error), status: status)
        } catch {
            return HTTPResponse(statusCode: .internalServerError)
        }
    }
}

/// The JSON form of a failure.
struct ErrorEnvelope: Codable {
    let error: ControlError
}
