// Follows a switch's events: a reply without end, in chunks of lines.

internal import Foundation

extension ControlClient {
    /// Seconds of silence after which a followed switch counts as not responding; one that lives
    /// says something every ten.
    private static let streamSilenceSecondsMax = 30

    /// Passes every event of these types to `body`, all types where there are none, as one line of
    /// JSON without its line break.
    ///
    /// Returns when the switch has ended as it should.
    /// - Throws: what `body` throws; `connectionLost` when the switch has gone without a word.
    public func follow(
        _ types: [SwitchEvent.Kind] = [], _ body: (String) throws -> Void
    ) throws {
        let target = Self.target("/events", types.map { ("type", $0.rawValue) })
        var stream = EventLines()
        var failure: (any Error)?
        do throws(ControlClientError) {
            try exchange("GET", target, Data(), Self.streamSilenceSecondsMax) { bytes in
                for line in try stream.take(bytes) where !line.isEmpty {
                    do { try body(line) } catch {
                        failure = error
                        throw error
                    }
                }
            }
        } catch {
            throw failure ?? error
        }
        if let refusal = stream.refusal {
            _ = try bodyOfSuccess(refusal)
        } else if !stream.isFinished {
            throw ControlClientError.connectionLost(socketPath)
        }
    }
}

/// Takes a chunked HTTP reply apart into lines (RFC 9112, section 7.1).
struct EventLines {
    private enum Place {
        case head, length
        case chunk(left: Int)
        case chunkEnd, finished, refused
    }

    private var place = Place.head
    /// Bytes that are not yet understood.
    private var rest = Data()
    /// The line so far.
    private var line = Data()

    /// Whether the reply has come to its proper end.
    var isFinished: Bool { if case .finished = place { true } else { false } }
    /// A reply that is no stream, head and all, as far as it has come.
    var refusal: Data? { if case .refused = place { rest } else { nil } }

    /// Takes what came next and returns the lines that it completes.
    mutating func take(_ bytes: Data) throws -> [String] {
        rest += bytes
        var lines: [String] = []
        while try step(&lines) {}
        return lines
    }

    /// One step ahead; false where more bytes are needed.
    private mutating func step(_ lines: inout [String]) throws -> Bool {
        switch place {
        case .head:
            guard let end = rest.range(of: Data("\r\n\r\n".utf8)) else { return false }
            let head = String(decoding: rest[..<end.lowerBound], as: UTF8.self)
            guard head.split(separator: " ").dropFirst().first == "200" else {
                place = .refused
                return false
            }
            rest = Data(rest[end.upperBound...])
            place = .length
        case .length:
            guard let end = rest.range(of: Data("\r\n".utf8)) else { return false }
            let digits = String(decoding: rest[..<end.lowerBound], as: UTF8.self)
            guard let length = Int(digits, radix: 16), length >= 0 else {
                throw MalformedChunk(description: "a chunk of the length '\(digits.prefix(20))'")
            }
            rest = Data(rest[end.upperBound...])
            place = length == 0 ? .finished : .chunk(left: length)
        case .chunk(let left):
            guard !rest.isEmpty else { return false }
            let part = rest.prefix(left)
            for byte in part {
                guard byte == UInt8(ascii: "\n") else {
                    line.append(byte)
                    continue
                }
                lines.append(String(decoding: line, as: UTF8.self))
                line.removeAll(keepingCapacity: true)
            }
            rest = Data(rest.dropFirst(part.count))
            place = part.count == left ? .chunkEnd : .chunk(left: left - part.count)
        case .chunkEnd:
            guard rest.count >= 2 else { return false }
            rest = Data(rest.dropFirst(2))
            place = .length
        case .finished, .refused:
            return false
        }
        return true
    }

    private struct MalformedChunk: Error, CustomStringConvertible {
        let description: String
    }
}
