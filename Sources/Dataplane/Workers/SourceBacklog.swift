// How many frames of each pausing port wait on their way through the switch.
//
// A frame waits in the queue of its egress port, or in a ring to another worker. There is one word
// for each pair of worker and ingress port, which that worker alone writes: one more when it lets a
// frame wait, one less when it takes one out. A frame that crosses is counted up by one worker and
// down by another, so a single word may stand below zero; what waits is the sum over the workers.
//
//     row 0       one word a port: whether it pauses, written by its owner
//     row 1 + w   one word a port: the count of worker w
//
// Memory ordering: all relaxed. The owner of a port, who alone reads the sum, counted a frame up
// itself before it published what another worker counts down, so the sum is never below zero for
// it; and a count that is a moment old is as good as one that was read a moment earlier.
//
// A struct over a pointer, as `HandoverRing` is and for the same reason.

internal import SwitchCore
internal import Synchronization

/// The frames of one port that one worker lets wait.
///
/// A handle: copies mean the same word. Only that worker may use it.
struct WaitingCount {
    private let word: UnsafeMutablePointer<Atomic<UInt32>>

    init(_ word: UnsafeMutablePointer<Atomic<UInt32>>) { self.word = word }

    func add() { store(word.pointee.load(ordering: .relaxed) &+ 1) }
    func subtract() { store(word.pointee.load(ordering: .relaxed) &- 1) }

    private func store(_ value: UInt32) { word.pointee.store(value, ordering: .relaxed) }
}

/// The frames that wait, by the port they came in by.
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
        let count = (workerCount + 1) * stride
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

    /// The count of the port's frames at `worker`.
    func count(of port: PortID, at worker: Int) -> WaitingCount {
        WaitingCount(words + ((worker &+ 1) &* stride &+ port.index))
    }

    /// How many frames of the port wait, wherever that is. Call from its owner.
    func frames(of port: PortID) -> Int {
        var sum: UInt32 = 0
        for worker in 0..<workerCount {
            sum &+= words[(worker &+ 1) &* stride &+ port.index].load(ordering: .relaxed)
        }
        return Int(Int32(bitPattern: sum))
    }
}
