// How many frames of each pausing port are on their way through the switch and stand still.
//
// They wait in the queue of their egress port, or cross in a ring to another worker. For each pair
// of worker and ingress port there are two words, which that worker alone writes: one more for a
// frame that it puts there, one less for one that it takes out. A frame that crosses is counted up
// by one worker and down by another, so a single word may stand below zero; what counts is the sum
// over the workers.
//
//     row 0            one word a port: whether it pauses, written by its owner
//     row 1 + 2w       one word a port: the frames that wait at worker w
//     row 2 + 2w       one word a port: the frames that cross, as worker w counts
//
// Memory ordering: all relaxed. The owner of a port, who alone reads the sums, counted a frame up
// itself before it published what another worker counts down, so no sum is below zero for it; and a
// count that is a moment old is as good as one that was read a moment earlier.
//
// A struct over a pointer, as `HandoverRing` is and for the same reason.

internal import SwitchCore
internal import Synchronization

/// Frames of one port, as one worker counts them.
///
/// A handle: copies mean the same word. Only that worker may use it.
struct WaitingCount {
    private let word: UnsafeMutablePointer<Atomic<UInt32>>

    init(_ word: UnsafeMutablePointer<Atomic<UInt32>>) { self.word = word }

    func add() { store(word.pointee.load(ordering: .relaxed) &+ 1) }
    func subtract() { store(word.pointee.load(ordering: .relaxed) &- 1) }

    private func store(_ value: UInt32) { word.pointee.store(value, ordering: .relaxed) }
}

/// The frames that stand still, by the port they came in by.
///
/// A handle: copies mean the same memory. Whoever made it calls `deallocate()` last.
///
/// Thread-safety: every word is atomic and has one writer, and the memory lives until
/// `deallocate()`, which is the argument for `@unchecked Sendable`.
struct SourceBacklog: @unchecked Sendable {
    private let words: UnsafeMutablePointer<Atomic<UInt32>>
    private let workerCount: Int
    /// Words of a row: whole cache lines, so that no two workers write to one.
    private let stride: Int

    init(workerCount: Int, portCapacity: Int) {
        self.workerCount = workerCount
        stride = (portCapacity + 15) & ~15
        let count = (2 * workerCount + 1) * stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: count * 4, alignment: 64)
        words = memory.bindMemory(to: Atomic<UInt32>.self, capacity: count)
        for index in 0..<count { (words + index).initialize(to: Atomic(0)) }
    }

    /// Frees the memory. No frame may wait any more.
    func deallocate() { UnsafeMutableRawPointer(words).deallocate() }

    /// Says whether frames of the port are to be counted. Call from its owner.
    func setPausing(_ port: PortID, _ isPausing: Bool) {
        words[port.index].store(isPausing ? 1 : 0, ordering: .relaxed)
    }

    /// Whether frames of the port are to be counted.
    func isPausing(_ port: PortID) -> Bool { words[port.index].load(ordering: .relaxed) != 0 }

    /// The count of the port's frames in queues of `worker`.
    func waiting(of port: PortID, at worker: Int) -> WaitingCount {
        WaitingCount(words + (row(worker) &+ port.index))
    }

    /// The count of the port's frames in rings, for `worker` to keep.
    func crossing(of port: PortID, at worker: Int) -> WaitingCount {
        WaitingCount(words + (row(worker) &+ stride &+ port.index))
    }

    /// How many frames of the port wait in queues. Call from its owner.
    func waiting(of port: PortID) -> Int { sum(port.index) }

    /// How many frames of the port cross between workers. Call from its owner.
    func crossing(of port: PortID) -> Int { sum(stride &+ port.index) }

    private func row(_ worker: Int) -> Int { (2 &* worker &+ 1) &* stride }

    private func sum(_ position: Int) -> Int {
        var sum: UInt32 = 0
        for worker in 0..<workerCount {
            sum &+= words[row(worker) &+ position].load(ordering: .relaxed)
        }
        return Int(Int32(bitPattern: sum))
    }
}
