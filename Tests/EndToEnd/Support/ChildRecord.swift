// What a child process printed and how it ended, and the tests that wait for it.
//
// Each child has three threads that sit in the kernel: one a stream of output, one that waits for
// its end. They change the state; a test that waits leaves a waiter in it and suspends, and the
// change that satisfies it resumes it. The threads hold the record and not the `ChildProcess`, so
// that dropping the latter kills the child, which ends the threads.

import Dispatch
import Foundation
import Glibc
import Synchronization

/// The growing record of one child process.
///
/// Thread safety: all state is behind one lock; waiters are tried and resumed under it.
final class ChildRecord: Sendable {
    enum Stream { case output, error }

    struct State {
        /// How the child ended; `nil` while it runs.
        fileprivate(set) var ending: ChildProcess.Ending?
        /// Complete lines of both streams in order of arrival, without line ends.
        fileprivate(set) var lines: [String] = []
        fileprivate var bytes: [Stream: [UInt8]] = [:]
        fileprivate var openStreams: Set<Stream> = [.output, .error]
        /// Lines before this one were taken.
        private var nextLine = 0
        fileprivate var waiters: [Waiter] = []
        fileprivate var waitersMade = 0

        /// Whether the child has ended and all that it printed is here.
        var isFinished: Bool { ending != nil && openStreams.isEmpty }

        func text(of stream: Stream) -> String {
            String(decoding: bytes[stream] ?? [], as: UTF8.self)
        }

        /// The first line with `text` that was not passed by an earlier take.
        mutating func takeLine(containing text: String) -> String? {
            while nextLine < lines.count {
                nextLine += 1
                if lines[nextLine - 1].contains(text) { return lines[nextLine - 1] }
            }
            return nil
        }
    }

    fileprivate struct Waiter {
        let id: Int
        /// Resumes the waiting test if the state has what it waits for.
        let isSatisfied: (inout State) -> Bool
        let expire: () -> Void
    }

    private let state = Mutex(State())

    /// Starts to record; closes the descriptors of the output at its end.
    init(of process: SpawnedProcess) {
        Thread.detachNewThread { self.follow(process.output, as: .output) }
        Thread.detachNewThread { self.follow(process.error, as: .error) }
        Thread.detachNewThread { self.awaitEnding(of: process.pid) }
    }

    /// Runs `body` if the child was not reaped, so that its process id cannot belong to another.
    func ifRunning(_ body: () -> Void) {
        state.withLock { if $0.ending == nil { body() } }
    }

    func snapshot<Value: Sendable>(_ read: (State) -> sending Value) -> Value {
        state.withLock { read($0) }
    }

    /// Suspends until `probe` finds something in the state, at most for `limit`.
    func wait<Value: Sendable>(
        atMost limit: Duration, for probe: @escaping @Sendable (inout State) -> Value?
    ) async -> Value? {
        await withCheckedContinuation { continuation in
            let waiting: Int? = state.withLock { state in
                if let value = probe(&state) {
                    continuation.resume(returning: value)
                    return nil
                }
                state.waitersMade += 1
                state.waiters.append(
                    Waiter(
                        id: state.waitersMade,
                        isSatisfied: { state in
                            guard let value = probe(&state) else { return false }
                            continuation.resume(returning: value)
                            return true
                        },
                        expire: { continuation.resume(returning: nil) }))
                return state.waitersMade
            }
            guard let waiting else { return }
            DispatchQueue.global().asyncAfter(deadline: .now() + limit / .seconds(1)) {
                self.expire(waiter: waiting)
            }
        }
    }

    private func expire(waiter id: Int) {
        state.withLock { state in
            guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return }
            state.waiters.remove(at: index).expire()
        }
    }

    /// Changes the state and resumes the waiters that have what they want now.
    private func update(_ change: (inout State) -> Void) {
        state.withLock { state in
            change(&state)
            let waiters = state.waiters
            state.waiters = waiters.filter { !$0.isSatisfied(&state) }
        }
    }

    private func follow(_ descriptor: Int32, as stream: Stream) {
        var buffer = [UInt8](repeating: 0, count: 16384)
        var line: [UInt8] = []
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            var complete: [String] = []
            for byte in buffer[..<count] {
                if byte == UInt8(ascii: "\n") {
                    complete.append(Self.text(ofLine: line))
                    line.removeAll(keepingCapacity: true)
                } else {
                    line.append(byte)
                }
            }
            update { state in
                state.bytes[stream, default: []] += buffer[..<count]
                state.lines += complete
            }
        }
        close(descriptor)
        update { state in
            if !line.isEmpty { state.lines.append(Self.text(ofLine: line)) }
            state.openStreams.remove(stream)
        }
    }

    /// Serial consoles end their lines with carriage return and line feed.
    private static func text(ofLine line: [UInt8]) -> String {
        let end = line.last == UInt8(ascii: "\r") ? line.count - 1 : line.count
        return String(decoding: line[..<end], as: UTF8.self)
    }

    private func awaitEnding(of pid: pid_t) {
        var information = siginfo_t()
        while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        update { state in
            // Reaped under the lock: until here the process id is the child's (see `ifRunning`).
            var status: Int32 = 0
            waitpid(pid, &status, 0)
            let signal = status & 0x7f
            state.ending = signal == 0 ? .exited(status >> 8 & 0xff) : .killed(signal: signal)
        }
    }
}
