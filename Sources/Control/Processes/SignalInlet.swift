import CShimsSystem

/// SIGINT, SIGTERM and SIGHUP as a descriptor to wait for.
///
/// From its creation on the signals are blocked for the creating thread and the threads it starts,
/// so one must be made before any other thread.
final class SignalInlet {
    /// One signal taken.
    struct Arrival {
        /// Its number.
        let number: Int32
        /// The kernel sent it, so every process of the terminal's foreground group has it as well.
        let isFromTerminal: Bool
    }

    /// Readable while a signal waits.
    let descriptor: Int32

    init() throws(SystemFailure) {
        descriptor = try SystemFailure.check(
            cshims_signals_open(), "cannot receive signals by descriptor")
    }

    deinit { _ = cshims_descriptor_close(descriptor) }

    /// Takes a signal without waiting.
    func take() -> Arrival? {
        var isFromTerminal = false
        let number = cshims_signals_take(descriptor, &isFromTerminal)
        return number > 0 ? Arrival(number: number, isFromTerminal: isFromTerminal) : nil
    }
}
