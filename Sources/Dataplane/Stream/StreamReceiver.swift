// From a stream of bytes to frames that lie contiguously, each with headroom before it.
//
// Theory of operation. Bytes are received into two places in one call: first what is missing of the
// torn frame, of which only the beginning has come, to where it lies; and all that follows into the
// stage, where lengths are found.
//
//     torn frame  [ 16 | ======------ ]            stage  [ L | frame | L | frame | L | fra ]
//                              ^ received first             ^ received next, then cut up here
//
// A frame of the stage is copied into the arena, since the switch needs 12 bytes of its own before
// each frame, where the stream has 4 bytes and the end of the frame before. What the stage holds
// only the beginning of becomes the torn frame. While much of the torn frame is missing, little is
// received into the stage behind it. So of a large frame only the first few KiB are ever copied,
// while one call brings many small ones.
//
// The arena has two halves, used in turn. Frames stay where they are until the turn is over; a half
// that is full makes the other one be used from its start, once a turn. The torn frame is always
// the last that was placed, so its half is the one in use.
//
// Everything is bounded: the memory by what is allocated here, the work of a turn by the stage and
// by the room in the arena; what has no room stays in the stage for the next turn, and nothing is
// received meanwhile. A frame that is too long for the port is passed over as it arrives.
//
// What a predecessor had received and not forwarded comes before all that the socket has, and in
// the same way: it is put where `places` says, and cut up. So it may be anything that a peer may
// send.
//
// The type is pure: it knows memory, no socket.

internal import CShimsSystem
internal import Glibc

/// What a `StreamReceiver` found next.
enum StreamItem {
    /// A frame, which stays where it is until the turn is over.
    case frame(UnsafeMutableRawPointer, length: Int)
    /// A frame of this length that is passed over, as it is too long for the port.
    case oversize(length: Int)
    /// Nothing more in what was received.
    case needsBytes
    /// No room for another frame in this turn.
    case needsTurn
    /// No frame can be told from the bytes any more.
    case broken(PeerEnding)
}

/// Cuts the stream of one connection into frames; owned by one worker.
struct StreamReceiver: ~Copyable {
    /// Bytes kept free, and zero, before every frame.
    static let headroom = 16
    /// Bytes that are received at once at most, beside the torn frame's.
    static let stageLength = 64 << 10
    /// Bytes that are received behind a torn frame of which much is missing.
    static let stageLengthBehindLarge = 4 << 10
    /// From how many missing bytes on that is so.
    static let largeRest = 8 << 10

    /// Calls that read the stream in one turn: few where frames are large, which keeps the memory
    /// in the cache (measured: with twice the calls and a quarter more memory, frames of 65,000
    /// bytes were a quarter slower).
    let readsMax: Int

    private let framing: StreamFraming
    private let lengthMax: Int
    private let memory: UnsafeMutableRawPointer
    private let halfLength: Int

    /// What the stage holds: `start ..< end` are not cut up yet.
    private var start = 0
    private var end = 0
    /// Bytes still to come of a frame that is passed over.
    private var skipped = 0

    private var torn: UnsafeMutableRawPointer
    private var tornLength = 0
    private var tornReceived = 0

    private var half = 0
    private var cursor = 0
    private var hasChangedHalf = false

    /// What a predecessor had received; `inheritedStart...` is still to be taken.
    private let inherited: UnsafeMutableRawBufferPointer
    private var inheritedStart = 0

    /// - Parameters:
    ///   - lengthMax: bytes of the longest frame that is kept.
    ///   - position: where a predecessor stood.
    init(framing: StreamFraming, lengthMax: Int, position: StreamPosition = StreamPosition()) {
        self.framing = framing
        self.lengthMax = lengthMax
        // Room for the longest frame, and for a second one, or in both halves for what the reads of
        // a turn bring: the more frames leave in one call, the less often the peer is woken.
        let isLarge = Self.place(lengthMax) > Self.stageLength
        halfLength =
            Self.place(lengthMax) + (isLarge ? Self.place(lengthMax) : 2 * Self.stageLength)
        readsMax = isLarge ? 2 : 4
        let length = Self.stageLength + 2 * halfLength
        memory = .allocate(byteCount: length, alignment: 64)
        torn = memory
        skipped = position.skipped
        inherited = .allocate(byteCount: position.received.count, alignment: 16)
        inherited.copyBytes(from: position.received)
    }

    deinit {
        memory.deallocate()
        inherited.deallocate()
    }

    /// Bytes that a frame takes in the arena.
    private static func place(_ length: Int) -> Int { headroom &+ (length &+ 15) & ~15 }

    private var stage: UnsafeMutableRawPointer { memory }
    private var arena: UnsafeMutableRawPointer {
        memory + (Self.stageLength &+ half &* halfLength)
    }

    /// Whether the stream stands between two frames.
    var isBetweenFrames: Bool { start == end && tornLength == 0 && skipped == 0 }

    /// Whether there may be frames although nothing is received.
    var hasInherited: Bool { inheritedStart < inherited.count }

    /// What was received and not given as frames yet, as it came, and how much is still to come of
    /// a frame that is passed over.
    var remainder: (received: [UInt8], skipped: Int) {
        var bytes: [UInt8] = []
        if tornLength > 0 {
            withUnsafeBytes(of: framing.prefix(of: tornLength)) {
                bytes += $0.prefix(framing.prefixLength)
            }
            bytes += UnsafeRawBufferPointer(start: torn, count: tornReceived)
        }
        bytes += UnsafeRawBufferPointer(start: stage + start, count: end - start)
        bytes += inherited[inheritedStart...]
        guard skipped > 0 else { return (bytes, skipped) }
        let count = min(skipped, bytes.count)
        return (Array(bytes.dropFirst(count)), skipped - count)
    }

    /// Begins a turn: the frames of the one before are not needed any more.
    mutating func beginTurn() {
        hasChangedHalf = false
        if tornLength == 0 { cursor = 0 }
    }

    /// Where the next bytes go: all of the first place before the second.
    /// - Precondition: `next` has said `needsBytes`.
    func places() -> (cshims_slice, cshims_slice) {
        let missing = tornLength &- tornReceived
        let room = missing >= Self.largeRest ? Self.stageLengthBehindLarge : Self.stageLength
        return (
            cshims_slice(
                address: torn + tornReceived, length: UInt64(truncatingIfNeeded: missing)),
            cshims_slice(
                address: stage + end, length: UInt64(truncatingIfNeeded: room &- end))
        )
    }

    /// Puts what a predecessor has left where `places` says, as if it had come just now; false when
    /// there is nothing.
    /// - Precondition: as for `places`.
    mutating func receiveInherited() -> Bool {
        guard hasInherited else { return false }
        let (first, second) = places()
        let count = takeInherited(first)
        receive(count &+ takeInherited(second))
        return true
    }

    private mutating func takeInherited(_ place: cshims_slice) -> Int {
        let left = inherited.count &- inheritedStart
        let count = min(Int(truncatingIfNeeded: place.length), left)
        guard count > 0, let source = inherited.baseAddress, let address = place.address else {
            return 0
        }
        UnsafeMutableRawPointer(mutating: address).copyMemory(
            from: source + inheritedStart, byteCount: count)
        inheritedStart &+= count
        return count
    }

    /// Takes note of bytes that were put where `places` says.
    mutating func receive(_ count: Int) {
        let toTorn = min(count, tornLength &- tornReceived)
        tornReceived &+= toTorn
        end &+= count &- toTorn
        assert(end <= Self.stageLength)
    }

    /// Finds the next frame.
    mutating func next() -> StreamItem {
        if tornLength > 0 { return nextTorn() }
        if skipped != 0 {
            guard 0...framing.lengthMax ~= skipped else { return .broken(.desynchronised) }
            skip()
        }
        let prefixLength = framing.prefixLength
        guard end &- start >= prefixLength else {
            moveRest()
            return .needsBytes
        }
        let length = framing.length(at: stage + start)
        guard length > 0, length <= framing.lengthMax else {
            return .broken(length == 0 ? .emptyFrame : .desynchronised)
        }
        guard length <= lengthMax else {
            start &+= prefixLength
            skipped = length
            return .oversize(length: length)
        }
        guard let home = place(length) else { return .needsTurn }
        let count = min(length, end &- start &- prefixLength)
        home.copyMemory(from: stage + (start &+ prefixLength), byteCount: count)
        start &+= prefixLength &+ count
        guard count < length else { return .frame(home, length: length) }
        (torn, tornLength, tornReceived) = (home, length, count)
        (start, end) = (0, 0)
        return .needsBytes
    }

    private mutating func nextTorn() -> StreamItem {
        guard tornReceived == tornLength else { return .needsBytes }
        let length = tornLength
        (tornLength, tornReceived) = (0, 0)
        return .frame(torn, length: length)
    }

    private mutating func skip() {
        let count = min(skipped, end &- start)
        skipped &-= count
        start &+= count
    }

    /// Moves the beginning of a length to the start of the stage, so that all of it is room.
    private mutating func moveRest() {
        let count = end &- start
        if count > 0, start > 0 { memmove(stage, stage + start, count) }
        (start, end) = (0, count)
    }

    /// Finds room for a frame in the arena.
    private mutating func place(_ length: Int) -> UnsafeMutableRawPointer? {
        let size = Self.place(length)
        if cursor &+ size > halfLength {
            guard !hasChangedHalf else { return nil }
            hasChangedHalf = true
            half ^= 1
            cursor = 0
        }
        let home = arena + (cursor &+ Self.headroom)
        cursor &+= size
        (home - 16).storeBytes(of: 0, as: UInt64.self)
        (home - 8).storeBytes(of: 0, as: UInt64.self)
        return home
    }
}
