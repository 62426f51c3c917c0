import Synchronization

/// Whether the guest is joined to its port, as one word that several threads read.
///
/// The word counts changes: odd means joined. A copier that meets a refusal reports the value under
/// which it sent, so a refusal that belongs to a former connection cannot end the present one.
///
/// Thread safety: `begin` is called by the control thread alone, the rest by any.
final class JoinState: Sendable {
    private let changes = Atomic<UInt64>(0)

    /// One value of the word.
    struct Epoch: Equatable, Sendable {
        fileprivate let value: UInt64

        /// Frames may be sent.
        var isJoined: Bool { value & 1 == 1 }
    }

    /// The present value. Relaxed: the kernel orders the frames, nothing else hangs on the word.
    var current: Epoch { Epoch(value: changes.load(ordering: .relaxed)) }

    /// A connection has begun; the magic has been sent.
    func begin() {
        let value = changes.load(ordering: .relaxed)
        // Two steps from joined to joined: the epoch must change.
        changes.store(value &+ (value & 1 == 1 ? 2 : 1), ordering: .relaxed)
    }

    /// The connection of `epoch` has ended.
    /// - Returns: false if it was known already.
    func end(_ epoch: Epoch) -> Bool {
        guard epoch.isJoined else { return false }
        return changes.compareExchange(
            expected: epoch.value, desired: epoch.value &+ 1, ordering: .relaxed
        ).exchanged
    }
}
