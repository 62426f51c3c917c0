import Foundation
import Glibc
import Support

/// Bytes that look random, and are known to whoever receives them.
enum KnownBytes {
    /// Repeated without end. Its odd length makes every frame another one.
    private static let block: [UInt8] = {
        var generator = SeededGenerator(seed: 3)
        let words = (0..<131_071).map { _ in generator.next() }
        return words.withUnsafeBytes { Array($0) }
    }()

    /// The bytes from a place on, at most `count` of them.
    static func stretch(from place: Int, atMost count: Int) -> ArraySlice<UInt8> {
        let start = place % block.count
        return block[start..<min(start + count, block.count)]
    }

    /// The first bytes from a place on.
    static func bytes(from place: Int, _ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            bytes += stretch(from: place + bytes.count, atMost: count - bytes.count)
        }
        return bytes
    }
}

extension NetworkSocket {
    /// Writes `count` known bytes to the stream, and ends it.
    func sendKnownBytes(_ count: Int) throws {
        var place = 0
        while place < count {
            place += try KnownBytes.stretch(from: place, atMost: min(count - place, 1 << 18))
                .withUnsafeBytes { try send($0) }
        }
        finish()
    }

    /// Reads the stream to its end, and demands that it is `count` known bytes.
    func receiveKnownBytes(_ count: Int) throws {
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        var place = 0
        while true {
            let length = try buffer.withUnsafeMutableBytes { try receive($0) }
            guard length > 0 else { break }
            var compared = 0
            while compared < length {
                let expected = KnownBytes.stretch(from: place, atMost: length - compared)
                let isSame = expected.withUnsafeBytes { expected in
                    buffer.withUnsafeBytes {
                        memcmp($0.baseAddress! + compared, expected.baseAddress!, expected.count)
                            == 0
                    }
                }
                guard isSame else {
                    throw ChildProcess.Failure(description: "a wrong byte behind \(place)")
                }
                compared += expected.count
                place += expected.count
            }
        }
        guard place == count else {
            throw ChildProcess.Failure(description: "\(place) of \(count) bytes arrived")
        }
    }
}

extension LANHost {
    /// Sends `count` bytes by TCP both ways at once, and compares every one.
    /// - Parameter address: one of the other host's.
    /// - Returns: what one direction carried, in Mbit/s.
    func exchange(_ count: Int, with other: LANHost, at address: String) async throws -> Int {
        let started = ContinuousClock.now
        let listener = try await NetworkSocket.listening(other.namespace, at: address, 5001)
        let near = try await NetworkSocket.connected(namespace, to: address, 5001)
        let far = try await other.namespace.run { try listener.accept() }
        async let forth: Void = namespace.run { try near.sendKnownBytes(count) }
        async let back: Void = other.namespace.run { try far.sendKnownBytes(count) }
        async let here: Void = namespace.run { try near.receiveKnownBytes(count) }
        async let there: Void = other.namespace.run { try far.receiveKnownBytes(count) }
        _ = try await (forth, back, here, there)
        let duration = ContinuousClock.now - started
        // The last segments overtake the end of the exchange; what is asked after them is answered
        // after them.
        try await run("ping", "-c", "3", "-i", "0.2", "-W", "20", address)
        return Int(Double(count) * 8e-6 / (duration / .seconds(1)))
    }
}
