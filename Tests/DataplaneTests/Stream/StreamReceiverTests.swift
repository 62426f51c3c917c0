// The receiver against a naive one that has the whole stream at hand, over every possible cut of
// short streams and random cuts of long ones.

import CShimsSystem
import Glibc
import Support
import Testing

@testable import Dataplane

/// What a stream of bytes says, read at leisure.
private struct NaiveReading: Equatable {
    enum Item: Equatable {
        case frame([UInt8])
        case oversize(Int)
    }

    var items: [Item] = []
    var ending: PeerEnding?

    init() {}

    init(_ bytes: [UInt8], _ framing: StreamFraming, lengthMax: Int) {
        var position = 0
        while bytes.count - position >= framing.prefixLength {
            let prefix = bytes[position..<(position + framing.prefixLength)]
            let ordered = framing == .bigEndian32 ? Array(prefix) : prefix.reversed()
            let length = ordered.reduce(0) { $0 << 8 | Int($1) }
            guard length > 0, length <= framing.lengthMax else {
                ending = length == 0 ? .emptyFrame : .desynchronised
                return
            }
            position += framing.prefixLength
            if length > lengthMax {
                items.append(.oversize(length))
            } else if position + length <= bytes.count {
                items.append(.frame(Array(bytes[position..<(position + length)])))
            }
            position = min(bytes.count, position + length)
        }
    }
}

/// A receiver that is given a stream piece by piece.
private final class FedReceiver {
    private var receiver: StreamReceiver
    private(set) var reading = NaiveReading()
    /// Frames of this turn, with what they were when they were found.
    private var current: [(UnsafeMutableRawPointer, [UInt8])] = []
    private(set) var faults: [String] = []

    init(_ framing: StreamFraming, lengthMax: Int) {
        receiver = StreamReceiver(framing: framing, lengthMax: lengthMax)
    }

    var isBetweenFrames: Bool { receiver.isBetweenFrames }

    private func beginTurn() {
        for (address, bytes) in current
        where !UnsafeRawBufferPointer(start: address, count: bytes.count).elementsEqual(bytes) {
            faults.append("a frame of \(bytes.count) bytes changed during its turn")
        }
        current = []
        receiver.beginTurn()
    }

    /// Takes all that is there; a turn ends where the receiver says so or after `frameLimit`.
    private func drain(frameLimit: Int) {
        var left = frameLimit
        while reading.ending == nil {
            switch receiver.next() {
            case .frame(let address, let length):
                let header = UnsafeRawBufferPointer(start: address - 12, count: 12)
                if header.contains(where: { $0 != 0 }) { faults.append("no clean headroom") }
                let bytes = Array(UnsafeRawBufferPointer(start: address, count: length))
                current.append((address, bytes))
                reading.items.append(.frame(bytes))
                left -= 1
                if left == 0 {
                    beginTurn()
                    left = frameLimit
                }
            case .oversize(let length): reading.items.append(.oversize(length))
            case .needsBytes: return
            case .needsTurn:
                if current.isEmpty { faults.append("no room in an empty turn") }
                beginTurn()
                left = frameLimit
            case .broken(let ending): reading.ending = ending
            }
        }
    }

    /// Gives the receiver `bytes`, as many at once as it has places for.
    func feed(_ bytes: ArraySlice<UInt8>, frameLimit: Int = .max) {
        var bytes = bytes
        beginTurn()
        drain(frameLimit: frameLimit)
        while !bytes.isEmpty, reading.ending == nil {
            let (first, second) = receiver.places()
            let count = min(bytes.count, Int(first.length + second.length))
            if count == 0 { return faults.append("no place for more") }
            let toFirst = min(count, Int(first.length))
            Self.copy(bytes.prefix(toFirst), to: first)
            Self.copy(bytes.dropFirst(toFirst).prefix(count - toFirst), to: second)
            receiver.receive(count)
            bytes = bytes.dropFirst(count)
            drain(frameLimit: frameLimit)
        }
        beginTurn()
    }

    private static func copy(_ bytes: ArraySlice<UInt8>, to place: cshims_slice) {
        guard let address = UnsafeMutableRawPointer(mutating: place.address), !bytes.isEmpty
        else { return }
        bytes.withUnsafeBytes {
            if let start = $0.baseAddress { address.copyMemory(from: start, byteCount: $0.count) }
        }
    }
}

@Suite struct StreamReceiverTests {
    private static func stream(
        _ lengths: [Int], _ framing: StreamFraming, _ generator: inout SeededGenerator
    ) -> [UInt8] {
        lengths.flatMap { length in
            let prefix = (0..<framing.prefixLength).map {
                UInt8(truncatingIfNeeded: length >> (8 * $0))
            }
            let body = (0..<min(length, framing.lengthMax)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            return (framing == .bigEndian32 ? prefix.reversed() : prefix) + body
        }
    }

    @Test(arguments: [StreamFraming.bigEndian32, .littleEndian16])
    func `every way to cut a short stream in three gives the same frames`(
        framing: StreamFraming
    ) {
        var generator = SeededGenerator(seed: 1)
        let bytes = Self.stream([1, 14, 90, 60, 17, 91, 3], framing, &generator)
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
        var bytes = Self.stream(lengths, framing, &generator)
        bytes.removeLast(Int.random(in: 0...min(10, bytes.count - 1), using: &generator))
        let expected = NaiveReading(bytes, framing, lengthMax: lengthMax)

        let receiver = FedReceiver(framing, lengthMax: lengthMax)
        var position = 0
        while position < bytes.count {
            let most = [1, 70, 3000, 200_000].randomElement(using: &generator) ?? 1
            let count = Int.random(in: 1...min(most, bytes.count - position), using: &generator)
            receiver.feed(
                bytes[position..<(position + count)],
                frameLimit: Bool.random(using: &generator) ? .max : 3)
            position += count
        }
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
