internal import CShimsSystem
internal import Synchronization

/// A descriptor that came from another process: closed with the last reference to this object,
/// unless somebody has taken it.
///
/// So whatever a message brings that nobody asked for is closed when the message is done with.
///
/// Thread safety: any thread may take it; one of them gets it.
final class PassedDescriptor: Sendable {
    private let current: Atomic<Int32>

    /// Takes over an open descriptor.
    init(adopting descriptor: Int32) { current = Atomic(descriptor) }

    deinit {
        let descriptor = take()
        if descriptor >= 0 { _ = cshims_descriptor_close(descriptor) }
    }

    /// The descriptor, still of this object; -1 after it was taken.
    var number: Int32 { current.load(ordering: .relaxed) }

    /// Hands the descriptor to the caller, who closes it; -1 if it has been taken before.
    func take() -> Int32 { current.exchange(-1, ordering: .relaxed) }
}
