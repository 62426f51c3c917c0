// The receiver against a naive one that has the whole stream at hand, over every possible cut of
// short streams and random cuts of long ones.

import CShimsSystem
import Support
import Testing

@testable import Dataplane

@Suite struct StreamReceiverTests {
    @Test(arguments: [StreamFraming.bigEndian32, .littleEndian16])
    func `every way to cut a short stream in three gives the same frames`(
        framing: StreamFraming
    ) {
        var generator = SeededGenerator(seed: 1)
        let bytes = streamBytes([1, 14, 90, 60, 17, 91, 3], framing, &generator)
        let expected = NaiveReading(bytes, framing, lengthMax: 90)
        #expect(expected.items.count == 7)
        for first in 0...bytes.count {
            for second in first...bytes.count {
                let receiver = FedReceiver(framing, lengthMax: 90)
                for piece in [0..<first, first..<second, second..<bytes.count] {
                    receiver.feed(bytes[piece])
                }
                #expect(receiver.reading == expected, "cut at \(first) and \(second)")
                #expect(receiver.faults == [], "cut at \(first) and \(second)")
                #expect(receiver.isBetweenFrames)
            }
        }
    }

    @Test(arguments: Seeds.list(60))
    func `random streams in random pieces give the frames of a naive reading`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let framing: StreamFraming =
            Bool.random(using: &generator) ? .bigEndian32 : .littleEndian16
        let lengthMax = [64, 1518, 9018, 65_550].randomElement(using: &generator) ?? 64
        var lengths: [Int] = []
        for _ in 0..<Int.random(in: 1...400, using: &generator) {
            let most = [1, 60, 1514, 66_000].randomElement(using: &generator) ?? 1
            lengths.append(
                Int.random(in: 1...min(most, framing.lengthMax), using: &generator))
        }
        if Int.random(in: 0..<3, using: &generator) == 0 {
            let fault = framing == .bigEndian32 ? [0, 1 << 20, 0xFFFF_FFFF] : [0]
            lengths[Int.random(in: 0..<lengths.count, using: &generator)] =
                fault.randomElement(using: &generator) ?? 0
        }
        var bytes = streamBytes(lengths, framing, &generator)
        bytes.removeLast(Int.random(in: 0...min(10, bytes.count - 1), using: &generator))
        let expected = NaiveReading(bytes, framing, lengthMax: lengthMax)

        let receiver = FedReceiver(framing, lengthMax: lengthMax)
        receiver.feedInPieces(bytes, &generator)
        #expect(receiver.reading == expected, "seed \(seed)")
        #expect(receiver.faults == [], "seed \(seed)")
    }

    @Test func `of a large frame only the beginning goes through the stage`() {
        var receiver = StreamReceiver(framing: .bigEndian32, lengthMax: 65_550)
        receiver.beginTurn()
        guard case .needsBytes = receiver.next() else { return #expect(Bool(false)) }
        let stage = receiver.places().1
        let prefix = StreamFraming.bigEndian32.prefix(of: 65_000)
        UnsafeMutableRawPointer(mutating: stage.address)?.storeBytes(of: prefix, as: UInt32.self)
        receiver.receive(1000)
        guard case .needsBytes = receiver.next() else { return #expect(Bool(false)) }
        let (torn, behind) = receiver.places()
        #expect(torn.length == 65_000 - 996)
        #expect(Int(behind.length) == StreamReceiver.stageLengthBehindLarge)
    }

    @Test func `a length of four gigabytes is the end of the stream`() {
        let receiver = FedReceiver(.bigEndian32, lengthMax: 1518)
        receiver.feed([0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3])
        #expect(receiver.reading.ending == .desynchronised)
        #expect(receiver.reading.items.isEmpty)
    }

    @Test func `a stream that ends amid a frame or a length is not between frames`() {
        for bytes: [UInt8] in [[0], [0, 0, 0, 9], [0, 0, 0, 9, 1], [0, 0, 9, 9, 1]] {
            let receiver = FedReceiver(.bigEndian32, lengthMax: 100)
            receiver.feed(bytes[...])
            #expect(!receiver.isBetweenFrames)
        }
    }
}
