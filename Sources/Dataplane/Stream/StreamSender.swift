// From frames to a stream of bytes, without waiting.
//
// Theory of operation. A batch of frames leaves in one call, each behind its length:
//
//     pieces   [ rest ] [ L | frame | L | frame ... ] [ L ] [ head ] [ body ] [ L | frame ...
//
// Short frames are copied behind their lengths, one behind the other: the kernel takes longer to
// walk over two pieces than it takes to copy what they hold, and so one piece stands for many
// frames. Long ones are taken from where they lie.
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

    /// Bytes of the longest frame that is copied behind its length.
    private static var copiedLengthMax: Int { 256 }
    /// Bytes that a length is written to, whatever its form.
    private static var prefixRoom: Int { 4 }

    private let framing: StreamFraming
    private let pieces: UnsafeMutableBufferPointer<cshims_slice>
    private var pieceCount = 0
    /// Lengths, and short frames behind theirs.
    private let copies: UnsafeMutableRawPointer

    private let rest: UnsafeMutableRawBufferPointer
    private var restStart = 0
    private var restEnd = 0
    /// Bytes of the frame that the rest is of.
    private var restFrameLength = 0

    /// - Parameters:
    ///   - frameLengthMax: bytes of the longest frame.
    ///   - unsent: the end of a frame whose beginning a predecessor has sent.
    init(framing: StreamFraming, frameLengthMax: Int, unsent: [UInt8] = []) {
        let room = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(framing.prefixLength + frameLengthMax, unsent.count), alignment: 16)
        room.copyBytes(from: unsent)
        self.framing = framing
        pieces = .allocate(capacity: 1 + 3 * Self.batchMax)
        copies = .allocate(
            byteCount: Self.batchMax * (Self.copiedLengthMax + Self.prefixRoom), alignment: 16)
        rest = room
        restEnd = unsent.count
        // More of the frame is not known.
        restFrameLength = unsent.count
    }

    deinit {
        copies.deallocate()
        pieces.deallocate()
        rest.deallocate()
    }

    /// Whether the end of a frame has still to be sent.
    var hasRest: Bool { restStart < restEnd }
    /// Bytes of it.
    var restLength: Int { restEnd &- restStart }
    /// These bytes.
    var unsent: [UInt8] {
        Array(rest[restStart..<restEnd])
    }

    /// Describes what to send: the rest that there may be, then the frames.
    /// - Precondition: there are at most `batchMax` frames.
    mutating func gather(
        _ frames: UnsafeMutableBufferPointer<cshims_gather>
    ) -> UnsafeBufferPointer<cshims_slice> {
        precondition(frames.count <= Self.batchMax)
        pieceCount = 0
        if hasRest, let start = rest.baseAddress { add(start + restStart, restLength) }
        var end = 0
        for index in 0..<frames.count {
            let frame = frames[index]
            let length = frame.length
            let start = end
            copies.storeBytes(of: framing.prefix(of: length), toByteOffset: end, as: UInt32.self)
            end &+= framing.prefixLength
            let isCopied = length <= Self.copiedLengthMax
            if isCopied {
                frame.copy(to: copies + end)
                end &+= length
            }
            extend(to: copies + start, end &- start)
            guard !isCopied else { continue }
            add(frame.head)
            add(frame.body)
        }
        return UnsafeBufferPointer(rebasing: pieces[..<pieceCount])
    }

    private mutating func add(_ address: UnsafeRawPointer, _ length: Int) {
        add(cshims_slice(address: address, length: UInt64(truncatingIfNeeded: length)))
    }

    /// Adds a piece, or makes the last one longer where it follows that.
    private mutating func extend(to address: UnsafeMutableRawPointer, _ length: Int) {
        if pieceCount > 0 {
            let last = pieces[pieceCount &- 1]
            if let start = last.address, start + Int(truncatingIfNeeded: last.length) == address {
                pieces[pieceCount &- 1] = cshims_slice(
                    address: start, length: last.length &+ UInt64(truncatingIfNeeded: length))
                return
            }
        }
        add(address, length)
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
                keep(frame, from: left)
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
    private mutating func keep(_ frame: cshims_gather, from count: Int) {
        let length = framing.prefixLength &+ frame.length
        precondition(length <= rest.count)
        guard let start = rest.baseAddress else { return }
        start.storeBytes(of: framing.prefix(of: frame.length), as: UInt32.self)
        frame.copy(to: start + framing.prefixLength)
        (restStart, restEnd) = (count, length)
        restFrameLength = frame.length
    }

    /// Forgets the rest, which nobody will take any more; false when there is none.
    mutating func dropRest() -> Bool {
        defer { restStart = restEnd }
        return hasRest
    }
}
