// Logs on standard error, one line an event:
//
//   2026-03-01T12:00:00.123Z warning peer refused port=vm1 pid=4711 reason="uid 1000 not allowed"
//
// Time is UTC with milliseconds; metadata follow as key=value, sorted by key, values quoted where
// they hold anything but plain characters. Messages and values may quote a peer, so control
// characters are escaped: one event is one line, always. Each line leaves in one write(2), which
// keeps lines of several threads apart. The data plane never logs; it counts.
//
// systemd's journal notes the time itself, and takes the level as a number in front (sd-daemon(3)),
// so that `journalctl -p warning` finds what it should:
//
//   <4>peer refused port=vm1 pid=4711 reason="uid 1000 not allowed"
//
// A reader that stops reading standard error costs lines, not the switch: see LogOutlet.

import Glibc
public import Logging

/// A swift-log handler that writes lines to a file descriptor, standard error by default.
///
/// Thread-safe: a value with no shared state but the descriptor.
public struct LineLogHandler: LogHandler {
    /// The least severe level that is written.
    public var logLevel: Logger.Level
    /// Fields of every event.
    public var metadata: Logger.Metadata = [:]
    /// Fields that are asked for at each event.
    public var metadataProvider: Logger.MetadataProvider?
    private let outlet: LogOutlet
    private let isForJournal: Bool

    /// - Parameters:
    ///   - level: the least severe level that is written.
    ///   - descriptor: where lines go, 2 being standard error; stays the caller's.
    public init(level: Logger.Level = .info, descriptor: Int32 = 2) {
        logLevel = level
        outlet = LogOutlet(descriptor)
        isForJournal = Self.isJournal(
            descriptor, stream: getenv("JOURNAL_STREAM").map { String(cString: $0) })
    }

    /// Makes every logger of the process write lines to standard error. Call it once, at start.
    public static func bootstrap(level: Logger.Level = .info) {
        // One outlet for all, so that lines of several threads stay apart.
        let handler = LineLogHandler(level: level)
        LoggingSystem.bootstrap { _ in handler }
    }

    /// One field of every event.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes the event as one line; fields of the event win over those of the logger.
    public func log(event: LogEvent) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var fields = metadata
        fields.merge(metadataProvider?.get() ?? [:]) { $1 }
        fields.merge(event.metadata ?? [:]) { $1 }
        if let error = event.error { fields["error"] = "\(error)" }
        let text = Self.text(event.message.description, fields)
        outlet.write(
            isForJournal
                ? Self.journalLine(level: event.level, text)
                : Self.line(at: now, level: event.level, text))
    }

    /// What an event says, without a line break.
    static func text(_ message: String, _ fields: Logger.Metadata) -> String {
        var text = message.terminalSafe
        for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
            text += " \(key)=\(quotedIfNeeded(value.description))"
        }
        return text
    }

    /// The line of one event, its line break included.
    static func line(at time: timespec, level: Logger.Level, _ text: String) -> String {
        "\(timestamp(time)) \(level.rawValue) \(text)\n"
    }

    /// The same for systemd's journal.
    static func journalLine(level: Logger.Level, _ text: String) -> String {
        let number =
            switch level {
            case .trace, .debug: LOG_DEBUG
            case .info: LOG_INFO
            case .notice: LOG_NOTICE
            case .warning: LOG_WARNING
            case .error: LOG_ERR
            case .critical: LOG_CRIT
            }
        return "<\(number)>\(text)\n"
    }

    /// Whether a descriptor leads to the journal: the variable names device and inode of the stream
    /// that systemd has made, and is inherited by processes whose output goes elsewhere.
    static func isJournal(_ descriptor: Int32, stream: String?) -> Bool {
        var status = stat()
        guard let stream, fstat(descriptor, &status) == 0 else { return false }
        return stream == "\(status.st_dev):\(status.st_ino)"
    }

    /// `time` in UTC with milliseconds.
    static func timestamp(_ time: timespec) -> String {
        var seconds = time.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func padded(_ number: Int, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = [
            padded(Int(parts.tm_year) + 1900, 4), padded(Int(parts.tm_mon) + 1, 2),
            padded(Int(parts.tm_mday), 2),
        ].joined(separator: "-")
        let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec]
            .map { padded(Int($0), 2) }.joined(separator: ":")
        return "\(date)T\(clock).\(padded(time.tv_nsec / 1_000_000, 3))Z"
    }

    private static func quotedIfNeeded(_ value: String) -> String {
        let safe = value.terminalSafe
        let plain = safe.unicodeScalars.allSatisfy {
            $0 != "\"" && $0 != "=" && $0 != " " && !$0.properties.isWhitespace
        }
        if plain, !safe.isEmpty { return safe }
        return "\""
            + safe.split(separator: "\"", omittingEmptySubsequences: false)
            .joined(separator: "\\\"") + "\""
    }
}
