// From what happens to those who follow it.
//
// Whoever publishes never waits: an event is written once, as a line, and appended to a buffer of
// each reader that wants its type. A reader's connection takes bytes out of its buffer as fast as
// its socket lets it. A buffer that is full loses the new line and counts it; the next line that
// finds room is preceded by one that says how many are missing, so a gap is never silent.
//
// A reader that has left is noticed when something is written to it. On a quiet switch that would
// be never, and its place is one of few, so who has heard nothing for ten seconds is sent an empty
// line. It tells the reader, in turn, that the switch still lives.

internal import Foundation
internal import Synchronization

/// The readers of a switch's events.
///
/// Thread-safe: the state is behind a lock, which nobody holds while waiting.
final class EventHub: Sendable {
    /// Most readers at a time.
    static let readerLimit = 16
    /// Beats without a line after which a reader is sent an empty one.
    static let quietBeatsMax = 10

    private struct State {
        var readers: [ObjectIdentifier: EventBuffer] = [:]
        var isFinished = false
    }

    private let state = Mutex(State())

    /// Whether anybody wants events of one of these types.
    func isFollowed(_ kinds: [SwitchEvent.Kind]) -> Bool {
        state.withLock { state in
            state.readers.values.contains { !$0.kinds.isDisjoint(with: kinds) }
        }
    }

    /// Whether a reader is still there.
    var hasReaders: Bool { state.withLock { !$0.readers.isEmpty } }

    /// Tells everybody who wants to know. Never waits.
    func publish(_ event: SwitchEvent) {
        state.withLock { state in
            let readers = state.readers.values.filter { $0.kinds.contains(event.type) }
            guard !readers.isEmpty else { return }
            let line = Self.line(event)
            for reader in readers { reader.append(line) }
        }
    }

    /// Counts `count` events of these types that are not told one by one.
    func omit(_ count: UInt64, of kinds: [SwitchEvent.Kind]) {
        state.withLock { state in
            for reader in state.readers.values where !reader.kinds.isDisjoint(with: kinds) {
                reader.omit(count)
            }
        }
    }

    /// Called about every two seconds: what was lost is told where there is room again, and who has
    /// heard nothing for long is sent an empty line.
    func beat() {
        state.withLock { state in
            for reader in state.readers.values { reader.beat() }
        }
    }

    /// A new reader, whose stream begins with `first` where it wants that.
    /// - Throws: `conflict` where there are too many, or the switch ends.
    func open(
        _ kinds: Set<SwitchEvent.Kind>, first: SwitchEvent
    ) throws(ControlError) -> EventReader {
        let buffer = EventBuffer(kinds)
        if kinds.contains(first.type) { buffer.append(Self.line(first)) }
        let refusal: String? = state.withLock { state in
            if state.isFinished { return "the switch is ending" }
            guard state.readers.count < Self.readerLimit else {
                return "\(Self.readerLimit) readers follow the events already, which is the most"
            }
            state.readers[ObjectIdentifier(buffer)] = buffer
            return nil
        }
        if let refusal { throw ControlError(.conflict, refusal) }
        return EventReader(buffer, of: self)
    }

    /// Ends every stream behind its last line; there are no new ones.
    func finish() {
        state.withLock { state in
            state.isFinished = true
            for reader in state.readers.values { reader.finish() }
        }
    }

    fileprivate func close(_ buffer: EventBuffer) {
        state.withLock { _ = $0.readers.removeValue(forKey: ObjectIdentifier(buffer)) }
    }

    static func line(_ event: SwitchEvent) -> [UInt8] {
        // A value of numbers, texts and lists of them can always be encoded.
        guard let json = try? ReportJSON.encode(event, layout: .line) else {
            preconditionFailure("an event that is no JSON")
        }
        return json + [UInt8(ascii: "\n")]
    }
}

/// The lines of one reader that it has not taken yet.
///
/// Thread-safe: the state is behind a lock.
final class EventBuffer: Sendable {
    /// Bytes that wait at most; some two thousand lines.
    static let capacity = 256 << 10

    let kinds: Set<SwitchEvent.Kind>
    private let state = Mutex(State())

    private struct State {
        var bytes: [UInt8] = []
        var lost: UInt64 = 0
        var quietBeats = 0
        var isFinished = false
        var waiter: CheckedContinuation<Void, Never>?

        /// Adds a line, behind one that tells of the lost ones; false where there is no room.
        mutating func add(_ line: [UInt8]) -> Bool {
            let notice = lost > 0 ? EventHub.line(.eventsLost(lost)) : []
            guard bytes.count + notice.count + line.count <= EventBuffer.capacity else {
                return false
            }
            bytes += notice
            bytes += line
            (lost, quietBeats) = (0, 0)
            return true
        }

        mutating func takeWaiter() -> CheckedContinuation<Void, Never>? {
            guard !bytes.isEmpty || isFinished else { return nil }
            return waiter.take()
        }
    }

    init(_ kinds: Set<SwitchEvent.Kind>) { self.kinds = kinds }

    func append(_ line: [UInt8]) {
        change { if !$0.add(line) { $0.lost += 1 } }
    }

    func omit(_ count: UInt64) {
        change { $0.lost += count }
    }

    func beat() {
        change { state in
            state.quietBeats += 1
            if state.lost > 0 {
                _ = state.add([])
            } else if state.quietBeats >= EventHub.quietBeatsMax, state.bytes.isEmpty {
                _ = state.add([UInt8(ascii: "\n")])
            }
        }
    }

    func finish() {
        change { state in
            if state.lost > 0 { _ = state.add([]) }
            state.isFinished = true
        }
    }

    private func change(_ body: (inout State) -> Void) {
        state.withLock { state in
            body(&state)
            return state.takeWaiter()
        }?.resume()
    }

    /// Waits for bytes and takes at most `count` of them; `nil` at the end of the stream, and when
    /// the task is cancelled.
    func take(atMost count: Int) async -> [UInt8]? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                state.withLock { state in
                    precondition(state.waiter == nil, "one task reads")
                    state.waiter = continuation
                    return state.takeWaiter()
                }?.resume()
            }
        } onCancel: {
            change { $0.isFinished = true }
        }
        return state.withLock { state in
            guard !state.bytes.isEmpty else { return nil }
            let taken = Array(state.bytes.prefix(count))
            state.bytes.removeFirst(taken.count)
            return taken
        }
    }
}

/// One reader's end of the events; whoever holds it reads, and with the last reference it is gone.
public final class EventReader: Sendable {
    private let buffer: EventBuffer
    private let hub: EventHub

    fileprivate init(_ buffer: EventBuffer, of hub: EventHub) {
        self.buffer = buffer
        self.hub = hub
    }

    deinit { hub.close(buffer) }

    /// Waits for whole or partial lines, at most `count` bytes; `nil` at the end.
    func take(atMost count: Int) async -> [UInt8]? { await buffer.take(atMost: count) }
}
