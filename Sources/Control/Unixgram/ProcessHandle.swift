internal import CShimsSystem
internal import Glibc

/// A process, held by a pidfd: the number cannot come to mean another process.
///
/// The descriptor polls readable when the process ends. That is a hint, not proof that the socket
/// has gone: a launcher may end while its child keeps it. The descriptor is closed with the last
/// reference, so whoever watches it keeps the handle (a DispatchSource: capture it in the cancel
/// handler).
///
/// Thread safety: immutable but for the kernel's own state.
public final class ProcessHandle: Sendable {
    /// The pidfd, for poll(2) or a DispatchSource; owned by this object.
    public let descriptor: Int32

    /// Takes over a pidfd.
    init(adopting descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        _ = cshims_descriptor_close(descriptor)
    }

    /// Whether the process has ended.
    public var hasEnded: Bool { cshims_descriptor_poll(descriptor, Int16(POLLIN), 0) > 0 }
}
