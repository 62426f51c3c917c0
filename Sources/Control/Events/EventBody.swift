// Events as the body of an HTTP response: chunks of lines, as long as the reader stays.

internal import FlyingFox
internal import FlyingSocks

/// The bytes that an event reader gets, for FlyingFox to send.
struct EventBody: AsyncBufferedSequence {
    typealias Element = UInt8

    /// Bytes of a chunk at most.
    static let chunkLength = 16 << 10

    let reader: EventReader

    /// The response that carries them.
    var response: HTTPResponse {
        HTTPResponse(
            statusCode: .ok, headers: [.contentType: "application/x-ndjson"],
            body: HTTPBodySequence(from: self, suggestedBufferSize: Self.chunkLength))
    }

    func makeAsyncIterator() -> Iterator { Iterator(reader: reader) }

    struct Iterator: AsyncBufferedIteratorProtocol {
        let reader: EventReader

        func next() async throws -> UInt8? { await reader.take(atMost: 1)?.first }

        func nextBuffer(suggested count: Int) async throws -> [UInt8]? {
            let bytes = await reader.take(atMost: count)
            // A stream that is cut off must not look like one that has come to its end.
            if bytes == nil { try Task.checkCancellation() }
            return bytes
        }
    }
}
