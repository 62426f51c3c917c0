// What a test grants a busy machine: time for whatever must happen, and room for what it may not
// lose.

extension Duration {
    /// How long something that must happen is waited for. It mostly takes milliseconds; on a busy
    /// machine each process on its way may wait for a CPU, and there are many.
    static let patience = Duration.seconds(60)
}

extension SwitchProcess {
    /// Keys of ports at which nothing is lost though a reader, or the switch, stands still for
    /// seconds: the most that queues hold, for as long as they may.
    static let patientKeys =
        "queue = \"fifo\"\nqueue_bytes = \"256MiB\"\nqueue_delay = \"10s\"\n"
}
