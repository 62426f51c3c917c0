// The stream between the switch and a simulated peer, in pieces of random length both ways.

import CShimsSystem
import Glibc
import Support

@testable import Dataplane

final class SimulatedStream {
    private let framing: StreamFraming
    private var generator: SeededGenerator

    /// Bytes of the first frame of the peer's outbox that were given already.
    private var givenBytes = 0
    /// Frames of the outbox that the switch was given whole.
    private(set) var givenFrames = 0
    /// The peer has said something that is no frame.
    private(set) var isBroken = false
    /// The peer gives no more than this many bytes at once; 0: as it pleases.
    var pieceMax = 0

    /// What came of a frame that was not taken whole.
    private var partial: [UInt8] = []
    /// Frames that the switch has sent in part only, and their bytes.
    private(set) var cutFrames = 0
    private(set) var cutBytes = 0

    init(_ framing: StreamFraming, seed: UInt64) {
        self.framing = framing
        generator = SeededGenerator(seed: seed)
    }

    /// Begins anew, as after a new connection: what was half given is given again.
    func reset() {
        givenBytes = 0
        isBroken = false
        partial = []
    }

    private func prefix(of length: Int) -> [UInt8] {
        withUnsafeBytes(of: framing.prefix(of: length)) { Array($0.prefix(framing.prefixLength)) }
    }

    // MARK: To the switch

    func give(_ first: cshims_slice, _ second: cshims_slice, from peer: SimulatedPeer) -> Int {
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
            isBroken = isBroken || frame.isEmpty
            peer.outbox.removeFirst()
        }
        guard !bytes.isEmpty else { return -Int(EAGAIN) }
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
            if !partial.isEmpty {
                cutFrames -= 1
                cutBytes -= length - framing.prefixLength
                partial = []
            }
            bytes = bytes.dropFirst(missing)
        }
        return offered
    }

    /// Takes a part of a frame that was refused for want of room, or nothing.
    private func cut(_ bytes: ArraySlice<UInt8>, _ missing: Int, _ result: Int32) -> Int {
        guard result == -EAGAIN, missing > 1, Bool.random(using: &generator) else { return 0 }
        let count = Int.random(in: 1..<missing, using: &generator)
        if partial.isEmpty {
            cutFrames += 1
            cutBytes += missing - framing.prefixLength
        }
        partial += bytes.prefix(count)
        return count
    }
}
