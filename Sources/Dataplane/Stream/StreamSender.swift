// From frames to a stream of bytes, without waiting.
//
// Theory of operation. A batch of frames leaves in one call, each behind its length:
//
//     pieces   [ rest ] [ L | head | body ] [ L | head | body ] ...
//
// A socket that is nearly full takes a part of that. What it took whole is sent; the rest of a
// frame that it took in part must come next, whatever happens, or the peer loses track. So the rest
// is copied here, and the frame is taken: it cannot be called back. It counts as sent when its last
// byte is, and until then as waiting. Frames behind it were not taken.
//
// The type is pure: it knows memory, no socket.

internal import CShimsSystem

/// What became of the frames of a batch.
struct StreamProgress: Equatable {
    /// Frames of the batch that are not to be offered again, the last of them perhaps cut off.
    var taken = 0
    /// Frames whose last byte was sent, one of an earlier batch perhaps among them.
    var sentFrames = 0
    /// Bytes of these frames.
    var sentBytes = 0
}

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
    private let restCapacity: Int
    private var restStart = 0
    private var restEnd = 0
    /// Bytes of the frame that the rest is of.
    private var restFrameLength = 0

    /// - Parameters:
    ///   - frameLengthMax: bytes of the longest frame.
    ///   - unsent: the end of a frame whose beginning a predecessor has sent.
    init(framing: StreamFraming, frameLengthMax: Int, unsent: [UInt8] = []) {
        self.framing = framing
        prefixes = .allocate(capacity: Self.batchMax)
        pieces = .allocate(capacity: 1 + 3 * Self.batchMax)
        restCapacity = max(framing.prefixLength + frameLengthMax, unsent.count)
        rest = .allocate(byteCount: restCapacity, alignment: 16)
        UnsafeMutableRawBufferPointer(start: rest, count: restCapacity).copyBytes(from: unsent)
        restEnd = unsent.count
        // More of the frame is not known.
        restFrameLength = unsent.count
    }

    deinit {
        prefixes.deallocate()
        pieces.deallocate()
        rest.deallocate()
    }

    /// Whether the end of a frame has still to be sent.
    var hasRest: Bool { restStart < restEnd }
    /// Bytes of it.
    var restLength: Int { restEnd &- restStart }
    /// These bytes.
    var unsent: [UInt8] {
        Array(UnsafeRawBufferPointer(start: rest + restStart, count: restLength))
    }

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
    mutating func send(
        _ count: Int, of frames: UnsafeMutableBufferPointer<cshims_gather>
    ) -> StreamProgress {
        var progress = StreamProgress()
        var left = count
        if hasRest {
            let ofRest = min(left, restLength)
            restStart &+= ofRest
            left &-= ofRest
            guard !hasRest else { return progress }
            progress.sentFrames = 1
            progress.sentBytes = restFrameLength
        }
        while left > 0, progress.taken < frames.count {
            let frame = frames[progress.taken]
            let length = framing.prefixLength &+ frame.length
            if left < length {
                keep(frame, prefix: prefixes + progress.taken, from: left)
            } else {
                progress.sentFrames &+= 1
                progress.sentBytes &+= frame.length
            }
            left &-= min(left, length)
            progress.taken &+= 1
        }
        assert(left == 0, "more was sent than there was")
        return progress
    }

    /// Keeps what is left of a frame with its prefix behind the first `count` bytes.
    private mutating func keep(
        _ frame: cshims_gather, prefix: UnsafeRawPointer, from count: Int
    ) {
        let length = framing.prefixLength &+ frame.length
        precondition(length <= restCapacity)
        rest.copyMemory(from: prefix, byteCount: framing.prefixLength)
        frame.copy(to: rest + framing.prefixLength)
        (restStart, restEnd) = (count, length)
        restFrameLength = frame.length
    }

    /// Forgets the rest, which nobody will take any more; false when there is none.
    mutating func dropRest() -> Bool {
        defer { restStart = restEnd }
        return hasRest
    }
}
