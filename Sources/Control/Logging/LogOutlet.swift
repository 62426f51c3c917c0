// Where lines of the log leave the process.
//
// Whoever reads standard error may stop reading: a pipe of 64 KiB then fills up, and a write would
// block the one thread of control for good; no peer would be attached and no signal obeyed. So a
// line is written when poll(2) says that there is room. It waits for room for a moment only, and
// once a line was lost the next ones do not wait at all. The first line that leaves afterwards is
// preceded by one that says how many were lost.
//
// The descriptor cannot be made non-blocking: the flag would be that of everybody who shares the
// pipe or terminal.

import Glibc
internal import Synchronization

/// Writes lines to a descriptor without waiting for its reader.
///
/// Thread-safe: one thread writes at a time.
final class LogOutlet: Sendable {
    private struct State {
        var lostLines = 0
        /// The last line lacks its end.
        var isTorn = false

        /// What the next line has to be preceded by.
        var notice: String {
            guard lostLines > 0 else { return "" }
            let lines = lostLines == 1 ? "1 line" : "\(lostLines) lines"
            return (isTorn ? "\n" : "") + "warning \(lines) of the log lost: nobody read them\n"
        }
    }

    private let descriptor: Int32
    private let state = Mutex(State())
    private static let patienceMilliseconds: Int32 = 100
    /// A pipe that poll(2) calls writable takes so many bytes without blocking: PIPE_BUF.
    private static let chunkLength = 4096

    /// - Parameter descriptor: stays the caller's.
    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Writes `line`, or counts it as lost.
    func write(_ line: String) {
        state.withLock { state in
            let patience = state.lostLines > 0 ? 0 : Self.patienceMilliseconds
            switch put(state.notice + line, patience: patience) {
            case .whole: state = State()
            case .torn: state = State(lostLines: state.lostLines + 1, isTorn: true)
            case .nothing: state.lostLines += 1
            }
        }
    }

    private enum Outcome { case whole, torn, nothing }

    private func put(_ text: String, patience: Int32) -> Outcome {
        var text = text
        return text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                let isReady = poll(&entry, 1, patience) > 0
                let written =
                    isReady
                    ? Glibc.write(descriptor, rest.baseAddress, min(rest.count, Self.chunkLength))
                    : 0
                if written < 0 && errno == EINTR { continue }
                // A log that cannot be written has nowhere to be reported.
                guard written > 0 else { return rest.count == bytes.count ? .nothing : .torn }
                rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            }
            return .whole
        }
    }
}
