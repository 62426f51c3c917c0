// When to ask whether a peer is still there that sends no sign of its end.
//
// A readable pidfd is a hint (a launcher may end while its child keeps the socket), so it leads to
// a question; from then on, and where there is no pidfd, the question is asked each time that the
// port is tended. A process may also outlive its socket (a network card unplugged from a running
// VM): it is asked every other time in any case.

/// Asks about one peer.
@ControlActor
final class PeerWatch {
    private let ask: @ControlActor @Sendable () -> Void
    private var processEnd: ReadSource?
    /// Whether nobody will tell of the end.
    private var isUncertain: Bool
    private var isDue = false

    /// - Parameters:
    ///   - process: the peer's, where it is known.
    ///   - ask: finds out whether the peer is there, and parts with it if not.
    init(_ process: ProcessHandle?, ask: @escaping @ControlActor @Sendable () -> Void) {
        self.ask = ask
        isUncertain = process == nil
        guard let process else { return }
        // The handle closes its descriptor, so the source keeps it.
        processEnd = ReadSource(descriptor: process.descriptor, keeping: process) { [weak self] in
            self?.processEnded()
        }
    }

    private func processEnded() {
        cancel()
        isUncertain = true
        ask()
    }

    /// To be called whenever the port is tended.
    func tend() {
        isDue.toggle()
        if isUncertain || isDue { ask() }
    }

    /// Asks no more on its own.
    func cancel() {
        processEnd?.cancel()
        processEnd = nil
    }
}
