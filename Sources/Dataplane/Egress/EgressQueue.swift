// Frames that the kernel refused for now, waiting for one egress port.
//
//     append -> flow by hash -> rounds of flows -> chosen -> sendmmsg -> removeFirst
//
// The frames lie in a byte ring (FrameRing) and hang in lists, one a flow. Whose turn it is
// FlowTable says, when a flow waits for too long CoDel does. What was chosen for a batch and not
// accepted stays chosen and goes first in the next one, so no flow pays twice for a frame.
//
// Bounded in bytes by the capacity and in time by `expire`: a frame that waited too long leaves,
// since late frames help nobody. A queue of the discipline `fifo` is one with a single flow.

internal import CShimsSystem
internal import SwitchCore

/// What a queue lost or marked of itself.
struct QueueSignals: Equatable {
    /// Frames that made room for others.
    var full = 0
    /// Frames dropped to slow their flow down.
    var dropped = 0
    /// Frames marked for the same reason.
    var marked = 0

    var isEmpty: Bool { self == QueueSignals() }
}

/// A bounded queue of frames for one egress port; owned by one worker.
struct EgressQueue: ~Copyable {
    /// Bytes that frames may use, headers and padding included.
    let capacity: Int
    /// Bytes of the waiting frames, without headers and padding.
    private(set) var byteCount = 0
    /// Waiting frames that count for their source.
    private(set) var countedFrames = 0

    private let discipline: QueueDiscipline
    /// Bytes before each frame that are not the frame's.
    private let prefix: Int
    private let seed: UInt64
    private var ring: FrameRing
    private var flows = FlowTable()
    private let chosen: UnsafeMutablePointer<UInt32>
    private var chosenCount = 0
    private var signals = QueueSignals()
    private var trimmedAt: UInt64 = 0

    private static var trimPeriod: UInt64 { 1_000_000_000 }

    /// After so many targets a frame whose flow heeds marks is marked at once, as `ce_threshold` of
    /// tc-fq_codel(8) has it.
    private static var marksAfter: UInt64 { 5 }
    /// Most frames that are chosen at a time.
    static var batchMax: Int { 64 }

    /// Makes a queue of `capacity` bytes for frames behind `prefix` other bytes.
    init(
        capacity: Int, discipline: QueueDiscipline = .fifo, prefix: Int = 0, seed: UInt64 = 0
    ) {
        self.capacity = max(64, (capacity + 15) & ~15)
        self.discipline = discipline
        self.prefix = prefix
        self.seed = seed
        ring = FrameRing(bytes: self.capacity)
        chosen = .allocate(capacity: Self.batchMax)
    }

    deinit { chosen.deallocate() }

    /// Gives memory that a burst has taken back to the system, at most once a second, as taking it
    /// again costs a page fault for every three frames.
    /// - Precondition: the queue is empty.
    mutating func trim(now: UInt64) {
        guard ring.mayBeTrimmed, now &- trimmedAt >= Self.trimPeriod else { return }
        ring.trim()
        trimmedAt = now
    }

    /// Frames waiting.
    var frameCount: Int { ring.count }
    /// Bytes that they use, with headers and padding.
    var usedBytes: Int { ring.usedBytes }
    var isEmpty: Bool { ring.count == 0 }
    /// When the oldest frame came.
    var oldestTime: UInt64? {
        guard let oldest = ring.oldest else { return nil }
        return ring.header(oldest).pointee.time
    }

    /// Copies a frame, gathered from its two places, to the end of its flow.
    /// - Parameters:
    ///   - ingress: the port by which it came in.
    ///   - limit: bytes that may be in use afterwards; half the capacity for flooded copies.
    ///   - count: what to count the frame in for as long as it waits.
    /// - Returns: false when there is no room for it.
    mutating func append(
        _ frame: cshims_gather, from ingress: PortID, now: UInt64, limit: Int,
        counting count: WaitingCount? = nil
    ) -> Bool {
        let size = StoredFrame.size(ofFrame: frame.length)
        guard size <= capacity, usedBytes &+ size <= limit || limit >= capacity else {
            return false
        }
        let hash = hash(of: frame, from: ingress)
        if usedBytes &+ size > capacity {
            guard discipline != .fifo, !isMostOfAll(hash) else { return false }
            makeRoom(for: size)
        }
        guard let offset = ring.append(frame, flow: 0, now: now, counting: count) else {
            return false
        }
        ring.header(offset).pointee.ingress = ingress.rawValue
        hang(offset, hash, from: discipline == .fifo ? 0 : ingress.rawValue)
        byteCount &+= frame.length
        if let count {
            count.add()
            countedFrames &+= 1
        }
        return true
    }

    /// What tells the frame's flow from others.
    private func hash(of frame: cshims_gather, from ingress: PortID) -> UInt32 {
        guard discipline != .fifo else { return 0 }
        // The headers are in the first piece, whole.
        let first = frame.head.address == nil ? frame.body : frame.head
        guard let address = first.address else { return 0 }
        return FlowHash.hash(
            address + prefix, length: max(0, Int(truncatingIfNeeded: first.length) &- prefix),
            seed: seed &+ UInt64(ingress.rawValue) &* 0x9E37_79B9_7F4A_7C15)
    }

    /// Whether a flow has half of all that waits. Then it is the one to lose frames, and to refuse
    /// its next one costs nothing, while the copy of one that follows would be thrown away.
    private func isMostOfAll(_ hash: UInt32) -> Bool { 2 &* flows.bytes(of: hash) >= byteCount }

    /// Hangs a new frame behind those of its flow.
    private mutating func hang(_ offset: UInt32, _ hash: UInt32, from port: UInt16) {
        let length = Int(ring.header(offset).pointee.length)
        let index = flows.place(of: hash, ingress: port, length: length)
        ring.header(offset).pointee.flow = index
        let flow = flows[index]
        if flow.pointee.first == FrameRing.none {
            flow.pointee.first = offset
        } else {
            ring.header(flow.pointee.last).pointee.next = offset
        }
        flow.pointee.last = offset
        flow.pointee.bytes &+= length
    }

    /// Drops the oldest frames of the longest flow, half of it at once, since to find it takes a
    /// look at all.
    @inline(never)
    private mutating func makeRoom(for size: Int) {
        while usedBytes &+ size > capacity {
            // All that waits may be chosen already.
            guard let index = flows.longest() else { return dropChosen(for: size) }
            let half = flows[index].pointee.bytes / 2
            while flows[index].pointee.bytes > half, let offset = unhang(index) {
                remove(offset)
                signals.full &+= 1
            }
        }
    }

    private mutating func dropChosen(for size: Int) {
        while chosenCount > 0, usedBytes &+ size > capacity {
            remove(chosen[0])
            forgetChosen(0)
            signals.full &+= 1
        }
    }

    /// Fills `frames` with those to be sent next, in order; they stay in the queue.
    ///
    /// What is chosen goes before all that comes later, however urgent: so no more should be than
    /// the peer takes.
    /// - Parameters:
    ///   - count: frames at most, 1 or more.
    ///   - room: bytes that the socket takes, as it charges them; one frame is chosen in any case.
    ///   - overhead: bytes that it charges beside each frame.
    /// - Returns: how many there are; those that were chosen before are among them.
    mutating func choose(
        _ count: Int, room: Int, overhead: Int = Connection.datagramOverhead,
        into frames: UnsafeMutableBufferPointer<cshims_gather>, now: UInt64
    ) -> Int {
        var left = chosenCount == 0 ? max(1, room) : room
        for position in 0..<chosenCount { left &-= charge(of: chosen[position], overhead) }
        while left > 0, chosenCount < min(count, Self.batchMax), let offset = next(now) {
            ring.header(offset).pointee.state = .chosen
            chosen[chosenCount] = offset
            chosenCount &+= 1
            left &-= charge(of: offset, overhead)
        }
        let count = min(chosenCount, frames.count)
        for position in 0..<count {
            let offset = chosen[position]
            frames[position] = cshims_gather(
                ring.payload(offset), length: Int(ring.header(offset).pointee.length))
        }
        return count
    }

    private func charge(of offset: UInt32, _ overhead: Int) -> Int {
        Connection.charge(
            ofFrames: 1, bytes: Int(ring.header(offset).pointee.length), overhead: overhead)
    }

    /// Takes out the frame whose turn it is.
    private mutating func next(_ now: UInt64) -> UInt32? {
        while let index = flows.turn() {
            if let offset = pass(index, now) {
                flows[index].pointee.deficit &-= Int(ring.header(offset).pointee.length)
                return offset
            }
            flows.leave(index)
        }
        return nil
    }

    /// Takes out the first frame of a flow that may pass. One that counts for its source always
    /// may: the source is held up already, which is what a signal is for.
    private mutating func pass(_ index: UInt16, _ now: UInt64) -> UInt32? {
        guard case .fair(let target) = discipline else { return unhang(index) }
        while flows[index].pointee.first != FrameRing.none {
            let frame = ring.header(flows[index].pointee.first)
            guard frame.pointee.count == nil else { return unhang(index) }
            let delay = now &- min(now, frame.pointee.time)
            let isSignalled = flows[index].pointee.codel.judge(
                delay: delay,
                isStanding: flows[index].pointee.bytes > Int(frame.pointee.length), now: now,
                CoDel.Parameters(target: target))
            guard let offset = unhang(index) else { return nil }
            // A mark costs no frame, so it need not wait until the queue has stood for long.
            let isMarked = (isSignalled || delay >= Self.marksAfter &* target) && mark(offset)
            if isMarked { signals.marked &+= 1 }
            guard isSignalled, !isMarked else { return offset }
            remove(offset)
            signals.dropped &+= 1
        }
        return nil
    }

    private func mark(_ offset: UInt32) -> Bool {
        CongestionMark.mark(
            ring.payload(offset) + prefix,
            length: max(0, Int(ring.header(offset).pointee.length) &- prefix))
    }

    /// Takes the first frame of a flow out of its list.
    private mutating func unhang(_ index: UInt16) -> UInt32? {
        let flow = flows[index]
        let offset = flow.pointee.first
        guard offset != FrameRing.none else { return nil }
        let frame = ring.header(offset)
        flow.pointee.first = frame.pointee.next
        flow.pointee.bytes &-= Int(frame.pointee.length)
        return offset
    }

    /// Lets go of a frame that hangs nowhere any more.
    private mutating func remove(_ offset: UInt32) {
        byteCount &-= Int(ring.header(offset).pointee.length)
        if let count = ring.header(offset).pointee.count {
            count.subtract()
            countedFrames &-= 1
        }
        ring.remove(offset)
        if ring.count == 0 { flows.clear() }
    }

    private mutating func forgetChosen(_ position: Int) {
        chosenCount &-= 1
        for later in position..<chosenCount { chosen[later] = chosen[later &+ 1] }
    }

    /// Removes the first `count` of the chosen frames.
    /// - Precondition: at least `count` are chosen.
    mutating func removeFirst(_ count: Int) {
        precondition(count <= chosenCount)
        for position in 0..<count { remove(chosen[position]) }
        chosenCount &-= count
        for position in 0..<chosenCount { chosen[position] = chosen[position &+ count] }
    }

    /// Removes every frame that arrived before `deadline` (nanoseconds) and returns how many these
    /// were.
    mutating func expire(before deadline: UInt64) -> Int {
        var count = 0
        while let offset = ring.oldest, ring.header(offset).pointee.time < deadline {
            removeOldest(offset)
            count &+= 1
        }
        return count
    }

    /// Removes everything and returns how many frames that were.
    mutating func removeAll() -> Int {
        let count = frameCount
        while let offset = ring.oldest { removeOldest(offset) }
        return count
    }

    /// Moves everything to another queue, each frame with the time and the port by which it came.
    ///
    /// What a batch had chosen takes its turn in its flow again: frames of a flow stay in order.
    /// - Returns: how many frames found no room there; they are gone.
    mutating func moveAll(to other: inout EgressQueue) -> Int {
        var lost = 0
        while let offset = ring.oldest {
            let header = ring.header(offset).pointee
            let isMoved = other.append(
                cshims_gather(ring.payload(offset), length: Int(header.length)),
                from: PortID(rawValue: header.ingress), now: header.time, limit: other.capacity,
                counting: header.count)
            if !isMoved { lost &+= 1 }
            removeOldest(offset)
        }
        return lost
    }

    /// Puts frames in that waited elsewhere, and returns how many found no room, or are none that
    /// the port could take.
    mutating func takeIn(_ frames: [WaitingFrame], lengthMax: Int) -> Int {
        var lost = 0
        for frame in frames {
            let isRoom = frame.bytes.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress, bytes.count > prefix,
                    bytes.count <= lengthMax
                else { return false }
                return append(
                    cshims_gather(start, length: bytes.count), from: frame.ingress,
                    now: frame.time, limit: capacity)
            }
            if !isRoom { lost += 1 }
        }
        return lost
    }

    /// Shows every frame, those first that came first.
    func visit(_ body: (WaitingFrame) -> Void) {
        ring.visit { offset in
            let header = ring.header(offset).pointee
            body(
                WaitingFrame(
                    time: header.time, ingress: PortID(rawValue: header.ingress),
                    bytes: Array(
                        UnsafeRawBufferPointer(
                            start: ring.payload(offset), count: Int(header.length)))))
        }
    }

    /// Removes the oldest frame of all, which is the first of its flow or has been chosen.
    private mutating func removeOldest(_ offset: UInt32) {
        if ring.header(offset).pointee.state == .chosen {
            var position = 0
            while chosen[position] != offset { position &+= 1 }
            forgetChosen(position)
        } else {
            _ = unhang(ring.header(offset).pointee.flow)
        }
        remove(offset)
    }

    /// What was lost and marked since the last call.
    mutating func takeSignals() -> QueueSignals {
        defer { signals = QueueSignals() }
        return signals
    }
}
