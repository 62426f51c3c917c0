// Logs on standard error, one line an event:
//
//   2026-03-01T12:00:00.123Z warning peer refused port=vm1 pid=4711 reason="uid 1000 not allowed"
//
// Time is UTC with milliseconds; metadata follow as key=value, sorted by key, values quoted where
// they hold anything but plain characters. Messages and values may quote a peer, so control
// characters are escaped: one event is one line, always. Each line leaves in one write(2), which
// keeps lines of several threads apart. The data plane never logs; it counts.
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

    /// - Parameters:
    ///   - level: the least severe level that is written.
    ///   - descriptor: where lines go, 2 being standard error; stays the caller's.
    public init(level: Logger.Level = .info, descriptor: Int32 = 2) {
        logLevel = level
        outlet = LogOutlet(descriptor)
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
        outlet.write(
            Self.line(
                at: now, level: event.level, message: event.message.description, fields: fields))
    }

    /// The text of one event, its line break included.
    static func line(
        at time: timespec, level: Logger.Level, message: String, fields: Logger.Metadata
    ) -> String {
        var line = "\(timestamp(time)) \(level.rawValue) \(message.terminalSafe)"
        for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
            line += " \(key)=\(quotedIfNeeded(value.description))"
        }
        return line + "\n"
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
