// Receivers and senders that go on where others stood.

import CShimsSystem
import Support
import Testing

@testable import Dataplane

@Suite struct StreamPositionTests {
    @Test(arguments: [StreamFraming.bigEndian32, .littleEndian16])
    func `a stream that is handed over at any byte gives the same frames`(framing: StreamFraming) {
        var generator = SeededGenerator(seed: 1)
        let bytes = streamBytes([1, 14, 90, 60, 300, 17, 91, 3], framing, &generator)
        let expected = NaiveReading(bytes, framing, lengthMax: 90)
        #expect(expected.items.count == 8)
        for cut in 0...bytes.count {
            let receiver = FedReceiver(framing, lengthMax: 90)
            receiver.feed(bytes[..<cut])
            var isDue = true
            receiver.isSucceeded = {
                defer { isDue = false }
                return isDue
            }
            receiver.feed(bytes[cut...])
            #expect(receiver.reading == expected, "cut at \(cut)")
            #expect(receiver.faults == [], "cut at \(cut)")
            #expect(receiver.isBetweenFrames, "cut at \(cut)")
        }
    }

    @Test(arguments: Seeds.list(60))
    func `a stream that goes from hand to hand at random gives the same frames`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let framing: StreamFraming =
            Bool.random(using: &generator) ? .bigEndian32 : .littleEndian16
        let lengthMax = [64, 1518, 9018, 65_535].randomElement(using: &generator) ?? 64
        let lengths = (0..<Int.random(in: 1...300, using: &generator)).map { _ in
            let most = [1, 60, lengthMax, 65_535].randomElement(using: &generator) ?? 1
            return Int.random(in: 1...most, using: &generator)
        }
        let bytes = streamBytes(lengths, framing, &generator)
        let expected = NaiveReading(bytes, framing, lengthMax: lengthMax)

        let receiver = FedReceiver(framing, lengthMax: lengthMax)
        let rate = Int.random(in: 2...40, using: &generator)
        var dice = SeededGenerator(seed: seed &+ 1000)
        receiver.isSucceeded = { Int.random(in: 0..<rate, using: &dice) == 0 }
        receiver.feedInPieces(bytes, &generator)
        #expect(receiver.reading == expected, "seed \(seed)")
        #expect(receiver.faults == [], "seed \(seed)")
        #expect(receiver.isBetweenFrames, "seed \(seed)")
        let most = framing.prefixLength + lengthMax + StreamReceiver.stageLength
        #expect(receiver.mostHandedOver <= most, "seed \(seed)")
    }

    @Test func `frames that a predecessor had whole come before those of the socket`() {
        var generator = SeededGenerator(seed: 2)
        // More than a receiver takes in at once.
        let bytes = streamBytes(Array(repeating: 1500, count: 200), .bigEndian32, &generator)
        let first = bytes.count / 2 + 700
        let known = Array(bytes[..<first])
        let receiver = FedReceiver(
            .bigEndian32, lengthMax: 1518, position: StreamPosition(received: known))
        receiver.feed([])
        #expect(receiver.reading == NaiveReading(known, .bigEndian32, lengthMax: 1518))
        receiver.feed(bytes[first...])
        #expect(receiver.reading == NaiveReading(bytes, .bigEndian32, lengthMax: 1518))
        #expect(receiver.faults == [])
    }

    @Test func `a frame that is longer here than it may be is passed over, wherever it was cut`() {
        var generator = SeededGenerator(seed: 3)
        let bytes = streamBytes([70_000, 80], .bigEndian32, &generator)
        for cut in [4, 5, 66_000, 70_004] {
            let receiver = FedReceiver(
                .bigEndian32, lengthMax: 1518,
                position: StreamPosition(received: Array(bytes[..<cut])))
            receiver.feed(bytes[cut...])
            #expect(receiver.reading == NaiveReading(bytes, .bigEndian32, lengthMax: 1518))
        }
    }

    @Test(arguments: [
        StreamPosition(skipped: -1), StreamPosition(skipped: .min), StreamPosition(skipped: .max),
        StreamPosition(skipped: 128 << 10 + 1), StreamPosition(received: [0xFF, 0xFF, 0xFF, 0xFF]),
        StreamPosition(received: [0, 0, 0, 9], skipped: -5),
    ])
    func `a position that cannot be is the end of the stream`(position: StreamPosition) {
        let receiver = FedReceiver(.bigEndian32, lengthMax: 1518, position: position)
        receiver.feed([0, 0, 0, 1, 7])
        #expect(receiver.reading.ending == .desynchronised)
        #expect(receiver.reading.items.isEmpty)
    }

    @Test func `what is still to come of a frame is passed over`() {
        let receiver = FedReceiver(
            .bigEndian32, lengthMax: 1518,
            position: StreamPosition(received: [1, 2, 3], skipped: 5))
        receiver.feed([4, 5, 0, 0, 0, 1, 7])
        #expect(receiver.reading.items == [.frame([7])])
        #expect(receiver.isBetweenFrames)
    }
}
