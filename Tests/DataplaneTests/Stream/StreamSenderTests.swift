import CShimsSystem
import Support
import Testing

@testable import Dataplane

/// A sender whose socket takes as many bytes as the test says.
@Suite struct StreamSenderTests {
    /// Sends `frames` through a socket that takes `room` bytes of each call, from sender to sender
    /// where `isSucceeded` says so, and returns the bytes that came out and how many frames that
    /// was.
    private static func sent(
        _ frames: [[UInt8]], _ framing: StreamFraming, headLength: Int, room: () -> Int,
        isSucceeded: () -> Bool = { false }
    ) -> (bytes: [UInt8], progress: StreamProgress) {
        var sender = StreamSender(framing: framing, frameLengthMax: 2000)
        var output: [UInt8] = []
        var total = StreamProgress()
        var waiting = frames
        while !waiting.isEmpty || sender.hasRest {
            if isSucceeded() {
                let unsent = sender.unsent
                sender = StreamSender(framing: framing, frameLengthMax: 300, unsent: unsent)
            }
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
                let progress = sender.send(count, of: gathers)
                waiting.removeFirst(progress.taken)
                total.taken += progress.taken
                total.sentFrames += progress.sentFrames
                total.sentBytes += progress.sentBytes
                // All that is taken but one that was cut off is sent.
                #expect(total.taken == total.sentFrames + (sender.hasRest ? 1 : 0))
                // What was not taken may be gone by the next call.
                for bytes in memory { bytes.initializeMemory(as: UInt8.self, repeating: 0xEE) }
            }
        }
        return (output, total)
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
        let (output, progress) = Self.sent(
            frames, framing, headLength: Int.random(in: 0...60, using: &generator)
        ) { Int.random(in: 1...most, using: &generator) }
        #expect(output == Self.framed(frames, framing), "seed \(seed)")
        #expect(progress.sentFrames == frames.count, "seed \(seed)")
        #expect(progress.sentBytes == frames.reduce(0) { $0 + $1.count }, "seed \(seed)")
    }

    @Test(arguments: Seeds.list(40))
    func `a stream that goes from hand to hand is the same to the peer`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let framing: StreamFraming =
            Bool.random(using: &generator) ? .bigEndian32 : .littleEndian16
        let frames = (0..<40).map { _ in
            (0..<Int.random(in: 1...300, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
        }
        let most = [1, 7, 400].randomElement(using: &generator) ?? 1
        var dice = SeededGenerator(seed: seed &+ 1000)
        let (output, progress) = Self.sent(
            frames, framing, headLength: 10,
            room: { Int.random(in: 1...most, using: &generator) },
            isSucceeded: { Int.random(in: 0..<3, using: &dice) == 0 })
        #expect(output == Self.framed(frames, framing), "seed \(seed)")
        #expect(progress.sentFrames == frames.count, "seed \(seed)")
    }

    @Test func `an unsent end of any length goes first`() {
        let unsent = Array(repeating: UInt8(9), count: 5000)
        var sender = StreamSender(framing: .bigEndian32, frameLengthMax: 100, unsent: unsent)
        #expect(sender.hasRest && sender.unsent == unsent)
        let none = UnsafeMutableBufferPointer<cshims_gather>(start: nil, count: 0)
        #expect(sender.gather(none).reduce(0) { $0 + Int($1.length) } == 5000)
        #expect(sender.send(4999, of: none) == StreamProgress())
        #expect(sender.unsent == [9])
        let end = sender.send(1, of: none)
        #expect(end == StreamProgress(taken: 0, sentFrames: 1, sentBytes: 5000))
        #expect(!sender.hasRest && sender.unsent.isEmpty)
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
