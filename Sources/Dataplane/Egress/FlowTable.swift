// The flows of one egress queue, and whose turn it is.
//
// Deficit round robin: in its turn a flow may send as many bytes as its deficit allows, which grows
// by a quantum a round. A flow that was not waiting comes before those that were, once: a lone
// request or acknowledgement overtakes bulk data, and nobody gains by pausing, since a flow that
// has emptied goes through the round once more. The flows of one ingress port share that port's
// quantum, so that a guest with a hundred flows gets no more than one with a single flow.
//
// Flows are found by hash in sets of eight: two that meet in a set both get a place, unless nine
// are waiting there. The ninth shares a place, and keeps to it until that has emptied: elsewhere
// its next frame could overtake those that wait.
//
// Source: RFC 8290, section 4; Shreedhar and Varghese, "Efficient fair queuing using deficit round
// robin", SIGCOMM 1995.

internal import Glibc

/// Frames of one flow that wait, in the order in which they came.
struct Flow {
    /// The round that a flow is in.
    enum Round: UInt8 {
        /// Nothing waits, and the place may be given away.
        case none
        /// It began to wait lately.
        case fresh
        case regular
    }

    /// The hash by which the place was taken.
    var hash: UInt32
    /// Frames in the ring.
    var first: UInt32
    var last: UInt32
    /// Bytes of these frames.
    var bytes: Int
    /// Bytes that it may still send in this round.
    var deficit: Int
    /// The flow behind it in its round.
    var next: UInt16
    var ingress: UInt16
    var round: Round
    /// Frames of several flows may wait in the place.
    var isShared: Bool
    var codel: CoDel
}

/// The flows of one egress port; owned by one worker.
struct FlowTable: ~Copyable {
    /// Places for flows that wait at the same time.
    static var capacity: Int { 256 }
    private static var waysOfSet: Int { 8 }
    private static var quantumMin: Int { 1514 }
    private static var portCounts: Int { 256 }

    /// A queue of flows, linked by `Flow.next`.
    private struct List {
        var first = FlowTable.none
        var last = FlowTable.none
    }

    static var none: UInt16 { .max }

    private let flows: UnsafeMutablePointer<Flow>
    /// Flows in a round by ingress port; ports that are 256 apart share a count.
    private let flowsOfPort: UnsafeMutablePointer<UInt16>
    private var fresh = List()
    private var regular = List()
    /// Bytes a round: the longest frame that came since nothing waited, so that each round every
    /// flow of a port of its own sends something.
    private var quantum = FlowTable.quantumMin

    private static var byteCount: Int {
        capacity * MemoryLayout<Flow>.stride + portCounts * MemoryLayout<UInt16>.stride
    }

    /// Reserves memory, whose pages are taken from the system when first used. Traps when the
    /// address space is exhausted.
    init() {
        // Zero bytes are flows in no round and ports without flows.
        let memory = mmap(
            nil, Self.byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else {
            fatalError("no memory for the flows of an egress queue")
        }
        flows = memory.bindMemory(to: Flow.self, capacity: Self.capacity)
        flowsOfPort = (memory + Self.capacity * MemoryLayout<Flow>.stride)
            .bindMemory(to: UInt16.self, capacity: Self.portCounts)
    }

    deinit { munmap(flows, Self.byteCount) }

    subscript(index: UInt16) -> UnsafeMutablePointer<Flow> {
        flows + Int(index)
    }

    /// Ends all rounds: nothing waits any more.
    mutating func clear() {
        while fresh.first != Self.none || regular.first != Self.none {
            release(fresh.first != Self.none ? fresh.first : regular.first)
        }
        quantum = Self.quantumMin
    }

    /// The place of the flow with this hash, which is put into the round if it was not there.
    mutating func place(of hash: UInt32, ingress: UInt16, length: Int) -> UInt16 {
        quantum = max(quantum, length)
        let (index, isWaiting) = find(hash)
        guard !isWaiting else {
            if self[index].pointee.hash != hash { self[index].pointee.isShared = true }
            return index
        }
        let ports = flowsOfPort + Int(ingress) & (Self.portCounts - 1)
        ports.pointee &+= 1
        self[index].initialize(
            to: Flow(
                hash: hash, first: FrameRing.none, last: FrameRing.none, bytes: 0,
                deficit: share(of: ingress), next: Self.none, ingress: ingress, round: .fresh,
                isShared: false, codel: CoDel()))
        append(index, to: .fresh)
        return index
    }

    /// Bytes that wait in the flow with this hash.
    func bytes(of hash: UInt32) -> Int {
        let (index, isWaiting) = find(hash)
        return isWaiting ? self[index].pointee.bytes : 0
    }

    private func find(_ hash: UInt32) -> (index: UInt16, isWaiting: Bool) {
        let sets = UInt32(truncatingIfNeeded: Self.capacity / Self.waysOfSet)
        let ways = UInt16(truncatingIfNeeded: Self.waysOfSet)
        let set = UInt16(truncatingIfNeeded: hash & (sets &- 1)) &* ways
        var free = Self.none
        for index in set..<(set &+ ways) {
            if self[index].pointee.round == .none {
                if free == Self.none { free = index }
            } else if self[index].pointee.hash == hash {
                return (index, true)
            }
        }
        let other = set &+ UInt16(truncatingIfNeeded: hash >> 16) & (ways &- 1)
        let isInOther = self[other].pointee.round != .none && self[other].pointee.isShared
        return free == Self.none || isInOther ? (other, true) : (free, false)
    }

    /// The flow whose turn it is, with a deficit that lets it send; `nil` if no flow is in a round.
    mutating func turn() -> UInt16? {
        while true {
            let index = fresh.first != Self.none ? fresh.first : regular.first
            guard index != Self.none else { return nil }
            guard self[index].pointee.deficit <= 0 else { return index }
            self[index].pointee.deficit &+= share(of: self[index].pointee.ingress)
            removeFirst()
            append(index, to: .regular)
        }
    }

    /// Ends the turn of a flow in which nothing waits any more.
    mutating func leave(_ index: UInt16) {
        if self[index].pointee.round == .fresh, regular.first != Self.none {
            removeFirst()
            append(index, to: .regular)
        } else {
            release(index)
        }
    }

    /// Gives up the place of the flow whose turn it is.
    private mutating func release(_ index: UInt16) {
        removeFirst()
        self[index].pointee.round = .none
        let ports = flowsOfPort + Int(self[index].pointee.ingress) & (Self.portCounts - 1)
        ports.pointee &-= 1
    }

    /// The flow with the most bytes; `nil` if none has any.
    func longest() -> UInt16? {
        var longest: UInt16?
        var bytes = 0
        for index in 0..<UInt16(truncatingIfNeeded: Self.capacity)
        where self[index].pointee.round != .none && self[index].pointee.bytes > bytes {
            longest = index
            bytes = self[index].pointee.bytes
        }
        return longest
    }

    /// What a flow of the port may send in a round, in bytes.
    private func share(of ingress: UInt16) -> Int {
        let count = flowsOfPort[Int(ingress) & (Self.portCounts - 1)]
        return max(1, quantum / Int(max(1, count)))
    }

    private mutating func append(_ index: UInt16, to round: Flow.Round) {
        self[index].pointee.round = round
        self[index].pointee.next = Self.none
        switch round {
        case .fresh: Self.link(index, &fresh, flows)
        default: Self.link(index, &regular, flows)
        }
    }

    private static func link(
        _ index: UInt16, _ list: inout List, _ flows: UnsafeMutablePointer<Flow>
    ) {
        if list.first == none {
            list.first = index
        } else {
            flows[Int(list.last)].next = index
        }
        list.last = index
    }

    /// Takes out the flow whose turn it is.
    private mutating func removeFirst() {
        if fresh.first != Self.none {
            fresh.first = self[fresh.first].pointee.next
        } else {
            regular.first = self[regular.first].pointee.next
        }
    }
}
