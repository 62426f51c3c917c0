/// Counters as they were when read; a plain value that can be summed.
public struct CounterSnapshot: Sendable, Equatable {
    private var values: [UInt64]
    private var drops: [UInt64]

    /// All zero.
    public init() {
        values = Array(repeating: 0, count: Counter.allCases.count)
        drops = Array(repeating: 0, count: DropReason.allCases.count)
    }

    /// Reads a block.
    public init(_ block: CounterBlock) {
        values = Counter.allCases.map { block[$0] }
        drops = DropReason.allCases.map { block[dropped: $0] }
    }

    /// One counter.
    public subscript(counter: Counter) -> UInt64 { values[counter.rawValue] }

    /// The drops for one reason.
    public subscript(dropped reason: DropReason) -> UInt64 { drops[reason.rawValue] }

    /// The drops for all reasons together.
    public var dropped: UInt64 { drops.reduce(0, +) }

    /// Adds `other` counter by counter; of high-water marks the higher remains.
    public mutating func merge(_ other: CounterSnapshot) {
        for counter in Counter.allCases {
            let index = counter.rawValue
            if counter == .queueHighWaterBytes {
                values[index] = max(values[index], other.values[index])
            } else {
                values[index] += other.values[index]
            }
        }
        for index in drops.indices { drops[index] += other.drops[index] }
    }

    /// Frames and copies that wait in egress queues or between workers. Meaningful for the sum of a
    /// switch.
    public var waiting: UInt64 { self[.queuedFrames] &+ self[.handedOver] &- self[.takenOver] }

    /// True if every frame is accounted for: received + flood copies + segment copies = sent +
    /// dropped + waiting.
    ///
    /// Holds for the sum of a switch's ports while no frame is in motion.
    public var isBalanced: Bool {
        self[.receivedFrames] + self[.floodCopies] + self[.segmentCopies]
            == self[.sentFrames] + dropped + waiting
    }
}
