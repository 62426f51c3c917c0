import CShimsSystem
import Support
import Testing

@testable import Dataplane

/// A sender whose socket takes as many bytes as the test says.
@Suite struct StreamSenderTests {
    /// Sends `frames` through a socket that takes `room` bytes of each call, and returns the bytes
    /// that came out.
    private static func sent(
        _ frames: [[UInt8]], _ framing: StreamFraming, headLength: Int, room: () -> Int
    ) -> [UInt8] {
        var sender = StreamSender(framing: framing, frameLengthMax: 2000)
        var output: [UInt8] = []
        var waiting = frames
        while !waiting.isEmpty || sender.hasRest {
            let batch = waiting.prefix(8)
            let memory = batch.map { frame in
                let copy = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: frame.count, alignment: 16)
                copy.copyBytes(from: frame)
                return copy
            }
            defer { for bytes in memory { bytes.deallocate() } }
            var gathers = memory.map { bytes in
                let split = min(headLength, bytes.count)
                return cshims_gather(
                    head: cshims_slice(
                        address: split > 0 ? bytes.baseAddress : nil, length: UInt64(split)),
                    body: cshims_slice(
                        address: bytes.baseAddress.map { UnsafeRawPointer($0 + split) },
                        length: UInt64(bytes.count - split)))
            }
            gathers.withUnsafeMutableBufferPointer { gathers in
                let pieces = sender.gather(gathers)
                let all = pieces.flatMap {
                    Array(UnsafeRawBufferPointer(start: $0.address, count: Int($0.length)))
                }
                let count = min(room(), all.count)
                output += all[..<count]
                waiting.removeFirst(sender.send(count, of: gathers))
                // What was not taken may be gone by the next call.
                for bytes in memory { bytes.initializeMemory(as: UInt8.self, repeating: 0xEE) }
            }
        }
        return output
    }

    private static func framed(_ frames: [[UInt8]], _ framing: StreamFraming) -> [UInt8] {
        frames.flatMap { frame in
            let prefix = withUnsafeBytes(of: framing.prefix(of: frame.count)) {
                Array($0.prefix(framing.prefixLength))
            }
            return prefix + frame
        }
    }

    @Test(arguments: Seeds.list(40))
    func `whatever a socket takes at a time, the peer reads the same stream`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let framing: StreamFraming =
            Bool.random(using: &generator) ? .bigEndian32 : .littleEndian16
        let frames = (0..<Int.random(in: 1...40, using: &generator)).map { _ in
            (0..<Int.random(in: 1...300, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
        }
        let most = [1, 7, 400, 4000].randomElement(using: &generator) ?? 1
        let output = Self.sent(
            frames, framing, headLength: Int.random(in: 0...60, using: &generator)
        ) { Int.random(in: 1...most, using: &generator) }
        #expect(output == Self.framed(frames, framing), "seed \(seed)")
    }

    @Test func `every length is written as the peer reads it`() {
        #expect(Self.framed([[7]], .bigEndian32) == [0, 0, 0, 1, 7])
        #expect(Self.framed([[7]], .littleEndian16) == [1, 0, 7])
        for framing in [StreamFraming.bigEndian32, .littleEndian16] {
            for length in [1, 255, 256, 1514, 65_535] {
                var prefix = framing.prefix(of: length)
                #expect(framing.length(at: &prefix) == length)
            }
        }
    }
}
