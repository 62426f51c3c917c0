// From frames to a stream of bytes, without waiting.
//
// Theory of operation. A batch of frames leaves in one call, each behind its length:
//
//     pieces   [ rest ] [ L | head | body ] [ L | head | body ] ...
//
// A socket that is nearly full takes a part of that. What it took whole is done; the rest of a
// frame that it took in part must come next, whatever happens, or the peer loses track. So the rest
// is copied here, and the frame counts as taken: it cannot be called back. Frames behind it were
// not taken.
//
// The type is pure: it knows memory, no socket.

internal import CShimsSystem

/// Puts the frames for one connection into its stream; owned by one worker.
struct StreamSender: ~Copyable {
    /// Most frames of a batch: three pieces each, and the rest, are what one call takes (IOV_MAX).
    /// Many frames a call wake the peer seldom (measured: with 64 frames of 1514 bytes a call the
    /// switch used a sixth more CPU a frame).
    static var batchMax: Int { 340 }

    private let framing: StreamFraming
    private let prefixes: UnsafeMutablePointer<UInt32>
    private let pieces: UnsafeMutableBufferPointer<cshims_slice>
    private var pieceCount = 0

    private let rest: UnsafeMutableRawPointer
    private var restStart = 0
    private var restEnd = 0

    /// - Parameter frameLengthMax: bytes of the longest frame.
    init(framing: StreamFraming, frameLengthMax: Int) {
        self.framing = framing
        prefixes = .allocate(capacity: Self.batchMax)
        pieces = .allocate(capacity: 1 + 3 * Self.batchMax)
        rest = .allocate(byteCount: framing.prefixLength + frameLengthMax, alignment: 16)
    }

    deinit {
        prefixes.deallocate()
        pieces.deallocate()
        rest.deallocate()
    }

    /// Whether the end of a frame has still to be sent.
    var hasRest: Bool { restStart < restEnd }

    /// Describes what to send: the rest that there may be, then the frames.
    /// - Precondition: there are at most `batchMax` frames.
    mutating func gather(
        _ frames: UnsafeMutableBufferPointer<cshims_gather>
    ) -> UnsafeBufferPointer<cshims_slice> {
        precondition(frames.count <= Self.batchMax)
        pieceCount = 0
        if hasRest { add(rest + restStart, restEnd &- restStart) }
        for index in 0..<frames.count {
            let frame = frames[index]
            prefixes[index] = framing.prefix(of: frame.length)
            add(prefixes + index, framing.prefixLength)
            add(frame.head)
            add(frame.body)
        }
        return UnsafeBufferPointer(rebasing: pieces[..<pieceCount])
    }

    private mutating func add(_ address: UnsafeRawPointer, _ length: Int) {
        add(cshims_slice(address: address, length: UInt64(truncatingIfNeeded: length)))
    }

    private mutating func add(_ piece: cshims_slice) {
        guard piece.length > 0 else { return }
        pieces[pieceCount] = piece
        pieceCount &+= 1
    }

    /// Takes note that the first `count` bytes of what was gathered are sent.
    /// - Returns: how many of the frames are taken, the last of them perhaps in part.
    mutating func send(
        _ count: Int, of frames: UnsafeMutableBufferPointer<cshims_gather>
    ) -> Int {
        let ofRest = min(count, restEnd &- restStart)
        restStart &+= ofRest
        var left = count &- ofRest
        var taken = 0
        while left > 0 {
            let length = framing.prefixLength &+ frames[taken].length
            if left < length { keep(frames[taken], prefix: prefixes + taken, from: left) }
            left &-= min(left, length)
            taken &+= 1
        }
        return taken
    }

    /// Keeps what is left of a frame with its prefix behind the first `count` bytes.
    private mutating func keep(
        _ frame: cshims_gather, prefix: UnsafeRawPointer, from count: Int
    ) {
        rest.copyMemory(from: prefix, byteCount: framing.prefixLength)
        frame.copy(to: rest + framing.prefixLength)
        (restStart, restEnd) = (count, framing.prefixLength &+ frame.length)
    }
}
