// Numbers and foreign strings as people read them in a terminal.

import Foundation

/// Formats quantities for tables: short, at most one decimal, unit attached.
enum HumanUnits {
    /// Exact up to seven digits, then with a decimal multiple: `9999999`, `12.3M`, `1.2G`.
    static func count(_ value: UInt64) -> String {
        value < 10_000_000 ? String(value) : rate(perSecond: Double(value))
    }

    /// Bytes with a binary multiple: `512 B`, `4.0 MiB`.
    static func bytes(_ value: UInt64) -> String {
        scaled(Double(value), by: 1024, [" B", " KiB", " MiB", " GiB", " TiB", " PiB"])
    }

    /// Events a second with a decimal multiple: `0`, `950`, `12.3k`.
    static func rate(perSecond: Double) -> String {
        scaled(perSecond, by: 1000, ["", "k", "M", "G", "T"])
    }

    /// Bits a second with a decimal multiple: `0 bit/s`, `1.2 Gbit/s`.
    static func bitRate(perSecond: Double) -> String {
        scaled(perSecond, by: 1000, [" bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s"])
    }

    /// A span of time in its two largest units: `42s`, `3m 12s`, `5h 2m`, `12d 4h`.
    static func span(seconds: Double) -> String {
        let whole = seconds.isFinite ? Int(max(0, min(seconds, 1e12))) : 0
        let (days, hours, minutes) = (whole / 86400, whole / 3600 % 24, whole / 60 % 60)
        if days > 0 { return "\(days)d \(hours)h" }
        if hours > 0 { return "\(hours)h \(minutes)m" }
        if minutes > 0 { return "\(minutes)m \(whole % 60)s" }
        return "\(whole)s"
    }

    /// A shorter time: `0.4 ms`, `12.3 ms`, `4.5 s`; from a minute on as `span`.
    static func duration(seconds: Double) -> String {
        if seconds >= 60 { return span(seconds: seconds) }
        return seconds < 1
            ? String(format: "%.1f ms", seconds * 1000) : String(format: "%.1f s", seconds)
    }

    private static func scaled(_ value: Double, by step: Double, _ units: [String]) -> String {
        var (scaled, unit) = (value, 0)
        // 0.05 below the step, the rounded figure would already read "1000.0".
        while scaled >= step - 0.05, unit + 1 < units.count {
            scaled /= step
            unit += 1
        }
        return unit == 0
            ? String(Int64(scaled.rounded())) + units[0]
            : String(format: "%.1f", scaled) + units[unit]
    }
}

extension String {
    /// The string with everything escaped that could steer a terminal or break a line.
    ///
    /// Process names and socket paths come from peers. Control characters (C0, DEL, C1), format
    /// characters (bidirectional overrides, zero-width marks), line and paragraph separators and
    /// private or unassigned code points become `\u{..}`; a backslash is doubled, so that the
    /// escaping is unambiguous.
    var terminalSafe: String {
        var safe = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate,
                .unassigned:
                let hex = String(scalar.value, radix: 16)
                safe.append(contentsOf: "\\u{\(hex)}".unicodeScalars)
            default:
                if scalar == "\\" { safe.append("\\") }
                safe.append(scalar)
            }
        }
        return String(safe)
    }

    /// At most `length` characters, an ellipsis standing for what was cut.
    func shortened(to length: Int) -> String {
        count <= length ? self : prefix(max(0, length - 1)) + "…"
    }
}
