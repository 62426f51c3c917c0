// The stream between the switch and a simulated peer, in pieces of random length both ways.

import CShimsSystem
import Glibc
import Support

@testable import Dataplane

final class SimulatedStream {
    private let framing: StreamFraming
    /// Bytes of the longest frame that the switch takes.
    private let lengthMax: Int
    private var generator: SeededGenerator

    /// Bytes of the first frame of the peer's outbox that were given already.
    private var givenBytes = 0
    /// Frames of the outbox that the switch was given whole.
    private(set) var givenFrames = 0
    /// What was given on this connection.
    private var given: [UInt8] = []
    /// Frames that the switch was given whole, or is to pass over, on former connections.
    private var formerCount = 0
    /// The peer gives no more than this many bytes at once; 0: as it pleases.
    var pieceMax = 0

    /// What came of a frame that was not taken whole.
    private var partial: [UInt8] = []

    init(_ framing: StreamFraming, lengthMax: Int, seed: UInt64) {
        self.framing = framing
        self.lengthMax = lengthMax
        generator = SeededGenerator(seed: seed)
    }

    /// Begins anew, as after a new connection: what was half given is given again.
    func reset() {
        formerCount += frameCount(of: given)
        given = []
        givenBytes = 0
        partial = []
    }

    /// Frames that the switch has to count as received, once it has looked at all that it was
    /// given.
    var countedFrames: Int { formerCount + frameCount(of: given) }

    /// How many frames there are in a stream before it ends or makes no sense: whole ones, and
    /// those too long for the port from their length on.
    func frameCount(of bytes: [UInt8]) -> Int {
        NaiveReading(bytes, framing, lengthMax: lengthMax).items.count
    }

    private func prefix(of length: Int) -> [UInt8] {
        withUnsafeBytes(of: framing.prefix(of: length)) { Array($0.prefix(framing.prefixLength)) }
    }

    // MARK: To the switch

    func give(_ first: cshims_slice, _ second: cshims_slice, from peer: SimulatedPeer) -> Int {
        // It may close amid a frame, too.
        if peer.hasClosed, Bool.random(using: &generator) { return 0 }
        let asked = Int(first.length + second.length)
        let least = pieceMax > 0 ? min(asked, pieceMax) : asked
        let room =
            Bool.random(using: &generator)
            ? least : Int.random(in: 1...max(1, least), using: &generator)
        var bytes: [UInt8] = []
        while bytes.count < room, let frame = peer.outbox.first {
            let whole = prefix(of: frame.count) + frame
            let piece = whole[givenBytes...].prefix(room - bytes.count)
            bytes += piece
            givenBytes += piece.count
            guard givenBytes == whole.count else { break }
            givenBytes = 0
            givenFrames += 1
            peer.outbox.removeFirst()
        }
        guard !bytes.isEmpty else { return peer.hasClosed ? 0 : -Int(EAGAIN) }
        given += bytes
        for (index, byte) in bytes.enumerated() {
            let isFirst = index < Int(first.length)
            let place = isFirst ? first.address : second.address
            let offset = isFirst ? index : index - Int(first.length)
            UnsafeMutableRawPointer(mutating: place)?
                .storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
        }
        return bytes.count
    }

    // MARK: From the switch

    /// Takes what the peer has room for, the last frame perhaps in part.
    func take(_ pieces: UnsafeBufferPointer<cshims_slice>, for peer: SimulatedPeer) -> Int {
        var bytes = pieces.flatMap {
            Array(UnsafeRawBufferPointer(start: $0.address, count: Int($0.length)))
        }[...]
        let offered = bytes.count
        while !bytes.isEmpty {
            let known = partial + bytes
            let length =
                framing.prefixLength
                + known.withUnsafeBytes { $0.baseAddress.map(framing.length(at:)) ?? 0 }
            let missing = length - partial.count
            let result = peer.offer(Array(known[framing.prefixLength..<length]))
            guard result == 0 else {
                let taken = offered - bytes.count + cut(bytes, missing, result)
                return taken > 0 ? taken : Int(result)
            }
            partial = []
            bytes = bytes.dropFirst(missing)
        }
        return offered
    }

    /// Takes a part of a frame that was refused for want of room, or nothing.
    private func cut(_ bytes: ArraySlice<UInt8>, _ missing: Int, _ result: Int32) -> Int {
        guard result == -EAGAIN, missing > 1, Bool.random(using: &generator) else { return 0 }
        let count = Int.random(in: 1..<missing, using: &generator)
        partial += bytes.prefix(count)
        return count
    }
}
