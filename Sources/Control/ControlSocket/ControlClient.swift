// Asks a switch through its control socket.
//
// One request a connection, synchronous: a command has nothing else to do meanwhile, and needs no
// thread, so that the commands which unshare(2) can run in the same program. The reply ends with
// the connection (`Connection: close`) and is checked against its Content-Length. Every wait is
// bounded by silence, not in all: a large MAC table may take its time as long as bytes keep
// coming.

internal import FlyingSocks
public import Foundation
import Glibc

/// A client of one control socket.
public struct ControlClient: Sendable {
    /// Path of the control socket.
    public let socketPath: String

    /// Seconds of silence after which a switch counts as not responding.
    var silenceSecondsMax = 2

    /// The same while the switch applies a configuration, which may bring devices up and down.
    private static let reloadSilenceSecondsMax = 60

    /// A client of the socket at `socketPath`; nothing is opened before the first request.
    public init(socketPath: String) {
        self.socketPath = socketPath
    }

    /// The state of the switch.
    public func status() throws(ControlClientError) -> StatusReport {
        try decode(StatusReport.self, get("/status"))
    }

    /// The MAC table, or the entries learned on `port`.
    public func macs(port: String? = nil) throws(ControlClientError) -> MACReport {
        try decode(MACReport.self, get(Self.target("/macs", port: port)))
    }

    /// Forgets learned addresses, all or those of `port`.
    public func flushMACs(port: String? = nil) throws(ControlClientError) -> FlushReport {
        let target = Self.target("/macs/flush", port: port)
        return try decode(FlushReport.self, request("POST", target))
    }

    /// Makes the switch read its configuration again.
    public func reload() throws(ControlClientError) -> ReloadReport {
        try change("/reload")
    }

    /// Adds a port to the switch.
    public func addPort(_ edit: PortEdit) throws(ControlClientError) -> ReloadReport {
        try change("/ports/add", edit)
    }

    /// Changes keys of a port.
    public func setPort(_ edit: PortEdit) throws(ControlClientError) -> ReloadReport {
        try change("/ports/set", edit)
    }

    /// Removes a port.
    public func removePort(_ name: String) throws(ControlClientError) -> ReloadReport {
        try change(Self.target("/ports/remove", port: name))
    }

    /// What the switch runs with, as TOML.
    public func runningConfiguration() throws(ControlClientError) -> String {
        String(decoding: try get("/configuration"), as: UTF8.self)
    }

    private func change(
        _ target: String, _ edit: PortEdit? = nil
    ) throws(ControlClientError) -> ReloadReport {
        // Texts can always be encoded.
        let body = edit.flatMap { try? ReportJSON.encode($0, layout: .line) } ?? Data()
        let answer = try request(
            "POST", target, body, silenceSecondsMax: Self.reloadSilenceSecondsMax)
        return try decode(ReloadReport.self, answer)
    }

    /// The body of the answer to GET `target`, unread.
    public func get(_ target: String) throws(ControlClientError) -> Data {
        try request("GET", target)
    }

    private static func target(_ path: String, port: String?) -> String {
        target(path, port.map { [("port", $0)] } ?? [])
    }

    /// `path` with a query of these parameters.
    static func target(_ path: String, _ parameters: [(name: String, value: String)]) -> String {
        let plain = CharacterSet(
            charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
        let pairs = parameters.map { name, value in
            name + "=" + (value.addingPercentEncoding(withAllowedCharacters: plain) ?? "")
        }
        return pairs.isEmpty ? path : path + "?" + pairs.joined(separator: "&")
    }

    // MARK: One exchange

    /// Sends one request and returns the body of a reply with status 200.
    private func request(
        _ method: String, _ target: String, _ body: Data = Data(),
        silenceSecondsMax: Int? = nil
    ) throws(ControlClientError) -> Data {
        var reply = Data()
        try exchange(method, target, body, silenceSecondsMax ?? self.silenceSecondsMax) {
            reply += $0
        }
        return try bodyOfSuccess(reply)
    }

    /// Sends one request and passes what comes back to `receive`, until the switch closes.
    func exchange(
        _ method: String, _ target: String, _ body: Data, _ silenceSecondsMax: Int,
        _ receive: (Data) throws -> Void
    ) throws(ControlClientError) {
        guard let address = ControlSocketAddress(path: socketPath) else {
            throw .pathTooLong(socketPath)
        }
        let head =
            "\(method) \(target) HTTP/1.1\r\nHost: ringswitch\r\nConnection: close\r\n"
            + (body.isEmpty ? "" : "Content-Length: \(body.count)\r\n") + "\r\n"
        do {
            try exchange(with: address, silenceSecondsMax, Data(head.utf8) + body, receive)
        } catch let error as ControlClientError {
            throw error
        } catch SocketError.blocked {
            throw .notResponding(socketPath, seconds: silenceSecondsMax)
        } catch SocketError.failed(_, let code, _) {
            throw ControlClientError(errno: code, path: socketPath)
        } catch {
            throw .malformedReply(socketPath, "\(error)")
        }
    }

    /// Connects, sends `request` and reads until the switch closes.
    private func exchange(
        with address: ControlSocketAddress, _ silenceSecondsMax: Int, _ request: Data,
        _ receive: (Data) throws -> Void
    ) throws {
        let socket = try Socket(domain: AF_UNIX, type: .stream)
        defer { try? socket.close() }
        // SO_SNDTIMEO bounds connect(2) too, which waits while the listener's queue is full.
        try socket.setValue(silenceSecondsMax, for: TimeLimitOption(name: SO_SNDTIMEO))
        try socket.setValue(silenceSecondsMax, for: TimeLimitOption(name: SO_RCVTIMEO))
        try Self.retryingInterrupts {
            try address.withPlainSockAddr { pointer, length in
                let code = connect(socket.file.rawValue, pointer, length) == 0 ? 0 : errno
                if code == EAGAIN { throw SocketError.blocked }
                if code != 0 { throw SocketError.failed(type: "", errno: code, message: "") }
            }
        }
        var sent = request.startIndex
        while sent < request.endIndex {
            sent = try Self.retryingInterrupts { try socket.write(request, from: sent) }
        }
        while true {
            let bytes: [UInt8]
            do {
                bytes = try Self.retryingInterrupts { try socket.read(atMost: 65_536) }
            } catch SocketError.disconnected {
                return
            }
            try receive(Data(bytes))
        }
    }

    /// A stopped and continued process sees EINTR on sockets with a time limit (signal(7)).
    private static func retryingInterrupts<Result>(_ body: () throws -> Result) throws -> Result {
        while true {
            do {
                return try body()
            } catch SocketError.failed(_, EINTR, _) {
                continue
            }
        }
    }

    // MARK: Reading the reply

    func bodyOfSuccess(_ reply: Data) throws(ControlClientError) -> Data {
        guard let headEnd = reply.range(of: Data("\r\n\r\n".utf8)) else {
            throw .malformedReply(
                socketPath, reply.isEmpty ? "the connection was closed" : "no HTTP header")
        }
        let head = String(decoding: reply[..<headEnd.lowerBound], as: UTF8.self)
        let lines = head.components(separatedBy: "\r\n")
        let words = lines[0].split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw .malformedReply(socketPath, "no HTTP status line")
        }
        let body = Data(reply[headEnd.upperBound...])
        let length = Self.contentLength(of: lines.dropFirst())
        if let length, length != body.count {
            throw .malformedReply(socketPath, "\(body.count) of \(length) bytes arrived")
        }
        if status == 200 { return body }
        guard let envelope = try? ReportJSON.decode(ErrorEnvelope.self, from: body) else {
            throw .malformedReply(socketPath, "HTTP status \(status)")
        }
        throw .declined(envelope.error)
    }

    private static func contentLength(of headers: ArraySlice<String>) -> Int? {
        for header in headers {
            let parts = header.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "content-length" else { continue }
            return Int(parts[1].trimmingCharacters(in: .whitespaces))
        }
        return nil
    }

    private func decode<Report: Decodable>(
        _ type: Report.Type, _ body: Data
    ) throws(ControlClientError) -> Report {
        do {
            return try ReportJSON.decode(type, from: body)
        } catch {
            throw .malformedReply(
                socketPath, "the report is not understood; is the switch of another version?")
        }
    }
}

/// A socket's time limit in whole seconds.
private struct TimeLimitOption: SocketOption {
    let name: Int32

    func makeValue(from socketValue: timeval) -> Int { socketValue.tv_sec }
    func makeSocketValue(from value: Int) -> timeval { timeval(tv_sec: value, tv_usec: 0) }
}
