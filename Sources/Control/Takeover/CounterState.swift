// Counters on their way to a successor.
//
// A successor adds what it inherits to counters of its own, so that no counter of a port or of the
// switch ever goes backwards. Gauges are not inherited: they tell what is, not what was.
//
// What was killed has not written its counters down. They lie in memory that it shared with the
// service manager, where every frame was counted as it passed; see `StateKeeper`. Frames that it
// had in its hands when it died are received and nothing else: they are dropped now, as
// `port_removed`.

internal import Glibc
internal import SwitchCore

extension SwitchState.CounterState {
    private static let notInherited: Set<Counter> = [
        .queuedFrames, .queuedBytes, .sendBufferBytes, .pausedPorts, .handedOver, .takenOver,
        // Each worker's own.
        .turns, .wakeups, .staleCompletions,
    ]

    /// What a worker has counted about itself.
    init(worker: (Counter) -> UInt64) {
        for counter in [Counter.turns, .wakeups, .staleCompletions] {
            counters[counter.name] = worker(counter)
        }
    }

    /// What `sum` has beyond `base`.
    init(_ sum: CounterSnapshot, since base: CounterSnapshot = CounterSnapshot()) {
        for counter in Counter.allCases where !Self.notInherited.contains(counter) {
            let count =
                counter == .queueHighWaterBytes ? sum[counter] : sum[counter] &- base[counter]
            if count > 0 { counters[counter.name] = count }
        }
        for reason in DropReason.allCases {
            let count = sum[dropped: reason] &- base[dropped: reason]
            if count > 0 { drops[reason.name] = count }
        }
    }

    /// Takes away what others have.
    mutating func subtract(_ other: SwitchState.CounterState) {
        for (name, count) in other.counters where name != Counter.queueHighWaterBytes.name {
            counters[name] = (counters[name] ?? 0) &- count
        }
        for (name, count) in other.drops { drops[name] = (drops[name] ?? 0) &- count }
        counters = counters.filter { $0.value > 0 }
        drops = drops.filter { $0.value > 0 }
    }

    /// Adds the counts to a block, which has one writer: the caller.
    func add(to block: CounterBlock) {
        for counter in Counter.allCases {
            guard let count = counters[counter.name] else { continue }
            if counter == .queueHighWaterBytes {
                block.raise(counter, to: count)
            } else {
                block.add(counter, count)
            }
        }
        for reason in DropReason.allCases {
            if let count = drops[reason.name] { block.add(dropped: reason, count) }
        }
    }
}

extension SwitchState {
    /// Puts the counters of a switch that was killed in their places.
    /// - Parameter words: the counter table as it was left, laid out as `counterLayout` says.
    mutating func settleCounters(_ words: [UInt64]) throws(StateError) {
        guard let layout = counterLayout, layout == CounterLayout.current(like: layout),
            words.count >= layout.blockCount * layout.stride
        else { throw StateError(description: "the counters are laid out in another way") }
        let table = CounterTable(
            portCapacity: layout.portCapacity, workerCount: layout.workerCount)
        defer { table.deallocate() }
        table.fill(words)
        let total = table.snapshot()
        rest = CounterState(total)
        for position in ports.indices {
            let port = PortID(index: ports[position].index)
            var own = CounterState(table.snapshot(port: port))
            if let baseline = ports[position].baseline { own.subtract(baseline) }
            ports[position].counters = own
            rest.subtract(own)
        }
        workers = (0..<layout.workerCount).map { worker in
            CounterState { table.workerBlock(worker)[$0] }
        }
        let ended = total[.sentFrames] &+ total.dropped
        let begun = total[.receivedFrames] &+ total[.floodCopies] &+ total[.segmentCopies]
        if begun > ended { rest.drops[DropReason.portRemoved.name, default: 0] += begun - ended }
        counterLayout = nil
    }
}

extension SwitchState.CounterLayout {
    var blockCount: Int { 2 * portCapacity + workerCount }

    /// How this program lays out counters of as many ports and workers.
    static func current(portCapacity: Int, workerCount: Int) -> SwitchState.CounterLayout {
        SwitchState.CounterLayout(
            portCapacity: portCapacity, workerCount: workerCount,
            stride: CounterTable.blockStride, words: CounterTable.wordNames)
    }

    fileprivate static func current(
        like other: SwitchState.CounterLayout
    ) -> SwitchState.CounterLayout? {
        guard (1...PortID.capacityMax).contains(other.portCapacity),
            (0...64).contains(other.workerCount)
        else { return nil }
        return current(portCapacity: other.portCapacity, workerCount: other.workerCount)
    }
}
