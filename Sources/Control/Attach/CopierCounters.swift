import Synchronization

/// What one direction of the copier did.
///
/// Thread safety: one thread adds (relaxed load and store), any thread reads.
final class CopierCounters: Sendable {
    private let frameCount = Atomic<UInt64>(0)
    private let byteCount = Atomic<UInt64>(0)
    private let notJoinedCount = Atomic<UInt64>(0)
    private let refusedCount = Atomic<UInt64>(0)
    private let oversizeCount = Atomic<UInt64>(0)

    /// The counters at one moment.
    struct Snapshot: Codable, Equatable, Sendable {
        /// Frames that reached the other side.
        var frames: UInt64 = 0
        /// Their bytes, Ethernet header included, FCS not.
        var bytes: UInt64 = 0
        /// Frames dropped because there was no switch.
        var droppedNotJoined: UInt64 = 0
        /// Frames that the other side refused.
        var droppedRefused: UInt64 = 0
        /// Frames longer than the device takes.
        var droppedOversize: UInt64 = 0

        /// The sum of all drops.
        var dropped: UInt64 { droppedNotJoined + droppedRefused + droppedOversize }
    }

    func add(frames: Int, bytes: UInt64) {
        Self.add(UInt64(frames), to: frameCount)
        Self.add(bytes, to: byteCount)
    }

    func addDrops(notJoined: Int = 0, refused: Int = 0, oversize: Int = 0) {
        Self.add(UInt64(notJoined), to: notJoinedCount)
        Self.add(UInt64(refused), to: refusedCount)
        Self.add(UInt64(oversize), to: oversizeCount)
    }

    var snapshot: Snapshot {
        Snapshot(
            frames: frameCount.load(ordering: .relaxed), bytes: byteCount.load(ordering: .relaxed),
            droppedNotJoined: notJoinedCount.load(ordering: .relaxed),
            droppedRefused: refusedCount.load(ordering: .relaxed),
            droppedOversize: oversizeCount.load(ordering: .relaxed))
    }

    private static func add(_ amount: UInt64, to counter: borrowing Atomic<UInt64>) {
        guard amount > 0 else { return }
        counter.store(counter.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}
