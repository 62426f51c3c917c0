/// Something that happens once, and tasks that wait for it.
@ControlActor
final class Gate {
    private(set) var isOpen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// Made closed, on any thread.
    nonisolated init() {}

    /// Lets everybody pass, those to come too. Harmless when called again.
    func open() {
        isOpen = true
        for continuation in waiting { continuation.resume() }
        waiting.removeAll()
    }

    /// Returns when the gate is open.
    func wait() async {
        guard !isOpen else { return }
        await withCheckedContinuation { waiting.append($0) }
    }
}
