// How long a test waits.

extension Duration {
    /// How long something that must happen is waited for. It mostly takes milliseconds; on a busy
    /// machine each process on its way may wait for a CPU, and there are many.
    static let patience = Duration.seconds(60)
}
