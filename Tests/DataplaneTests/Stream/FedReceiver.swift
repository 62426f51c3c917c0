// A receiver that is given a stream piece by piece, and a naive reading to compare it with.

import CShimsSystem
import Glibc
import Support

@testable import Dataplane

/// Frames of these lengths with random bytes, each behind its length.
func streamBytes(
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

/// What a stream of bytes says, read at leisure.
struct NaiveReading: Equatable {
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
final class FedReceiver {
    private let framing: StreamFraming
    private let lengthMax: Int
    private var receiver: StreamReceiver
    private(set) var reading = NaiveReading()
    /// Whether a successor takes over now; asked at every step.
    var isSucceeded: () -> Bool = { false }
    /// The most bytes that went to a successor.
    private(set) var mostHandedOver = 0
    /// Frames of this turn, with what they were when they were found.
    private var current: [(UnsafeMutableRawPointer, [UInt8])] = []
    private(set) var faults: [String] = []

    init(
        _ framing: StreamFraming, lengthMax: Int, position: StreamPosition = StreamPosition()
    ) {
        self.framing = framing
        self.lengthMax = lengthMax
        receiver = StreamReceiver(framing: framing, lengthMax: lengthMax, position: position)
    }

    var isBetweenFrames: Bool { receiver.isBetweenFrames }

    /// Goes on with another receiver, which knows only where this one stands.
    private func succeed() {
        let (received, skipped) = receiver.remainder
        mostHandedOver = max(mostHandedOver, received.count)
        if skipped > 0, !received.isEmpty { faults.append("bytes passed over are kept") }
        beginTurn()
        receiver = StreamReceiver(
            framing: framing, lengthMax: lengthMax,
            position: StreamPosition(received: received, skipped: skipped))
        if receiver.remainder != (received, skipped) { faults.append("another position") }
        receiver.beginTurn()
    }

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
            if isSucceeded() {
                succeed()
                left = frameLimit
            }
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
            case .needsBytes: guard receiver.receiveInherited() else { return }
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

    /// Gives the receiver `bytes` in pieces of any size, with turns of any length.
    func feedInPieces(_ bytes: [UInt8], _ generator: inout SeededGenerator) {
        var position = 0
        while position < bytes.count {
            let most = [1, 70, 3000, 200_000].randomElement(using: &generator) ?? 1
            let count = Int.random(in: 1...min(most, bytes.count - position), using: &generator)
            feed(
                bytes[position..<(position + count)],
                frameLimit: Bool.random(using: &generator) ? .max : 3)
            position += count
        }
    }

    private static func copy(_ bytes: ArraySlice<UInt8>, to place: cshims_slice) {
        guard let address = UnsafeMutableRawPointer(mutating: place.address), !bytes.isEmpty
        else { return }
        bytes.withUnsafeBytes {
            if let start = $0.baseAddress { address.copyMemory(from: start, byteCount: $0.count) }
        }
    }
}
