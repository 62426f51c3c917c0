/// Text with a unit, "64KiB" or "5ms": a number and one of a closed list of units.
///
/// A number is a whole one without sign or blanks, so that there is one way to read it.
struct UnitTable: Sendable {
    /// Spelling and factor. Printing takes the first that leaves no remainder.
    let units: [(name: String, factor: Int)]
    /// Spellings that people use instead, in lower case, with the right one.
    let misspellings: [String: String]

    /// The value of `text` in the smallest unit; `nil` where it is not of this form or overflows.
    func parse(_ text: String) -> Int? {
        guard let (number, unit) = split(text),
            let factor = units.first(where: { $0.name == unit })?.factor
        else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : product
    }

    /// The same value as it is usually written, where `text` only has the unit wrong.
    func correction(of text: String) -> String? {
        guard let (number, unit) = split(text.filter { $0 != " " && $0 != "_" }) else { return nil }
        let lowercase = unit.lowercased()
        let right =
            misspellings[lowercase] ?? units.first { $0.name.lowercased() == lowercase }?.name
        guard let right, !right.isEmpty else { return nil }
        let corrected = "\(number)\(right)"
        return parse(corrected) == nil ? nil : corrected
    }

    /// `value` in the largest unit that leaves no remainder.
    func format(_ value: Int) -> String {
        guard value != 0, let unit = units.first(where: { value.isMultiple(of: $0.factor) })
        else { return "\(value)" }
        return "\(value / unit.factor)\(unit.name)"
    }

    private func split(_ text: String) -> (number: Int, unit: String)? {
        let digits = text.utf8.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        guard let number = Int(String(digits) ?? "") else { return nil }
        return (number, String(text.utf8.dropFirst(digits.count)) ?? "")
    }
}

/// Sizes in bytes: "1500", "64KiB", "1MB".
enum ByteSize {
    private static let table = UnitTable(
        units: [
            ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
            ("", 1), ("B", 1), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000),
        ],
        misspellings: [
            "k": "KiB", "m": "MiB", "g": "GiB", "byte": "B", "bytes": "B",
            "ki": "KiB", "mi": "MiB", "gi": "GiB",
        ])

    /// Bytes that `text` says, `nil` where it is no size.
    static func parse(_ text: String) -> Int? { table.parse(text) }
    /// The size that `text` was probably meant to be.
    static func correction(of text: String) -> String? { table.correction(of: text) }
    /// `bytes` in the largest binary unit that leaves no remainder.
    static func format(_ bytes: Int) -> String { table.format(bytes) }

    /// `range` for people: "64 to 65550 bytes", "8KiB to 1GiB".
    static func format(_ range: ClosedRange<Int>) -> String {
        let bounds = (format(range.lowerBound), format(range.upperBound))
        let unit = bounds.1.last?.isNumber == true ? " bytes" : ""
        return "\(bounds.0) to \(bounds.1)\(unit)"
    }
}

/// Lengths of time in nanoseconds: "5ms", "300s", "1h".
enum TimeSpan {
    /// Nanoseconds of one second.
    static let second = 1_000_000_000

    private static let table = UnitTable(
        units: [
            ("h", 3600 * second), ("m", 60 * second), ("s", second),
            ("ms", 1_000_000), ("us", 1000),
        ],
        misspellings: [
            "": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m",
            "mins": "m", "minute": "m", "minutes": "m", "hour": "h", "hours": "h",
            "msec": "ms", "usec": "us", "\u{b5}s": "us", "\u{3bc}s": "us",
        ])

    /// Nanoseconds that `text` says, `nil` where it is no duration.
    static func parse(_ text: String) -> Int? { table.parse(text) }
    /// The duration that `text` was probably meant to be.
    static func correction(of text: String) -> String? { table.correction(of: text) }
    /// `nanoseconds` in the largest unit that leaves no remainder.
    static func format(_ nanoseconds: Int) -> String {
        nanoseconds == 0 ? "0us" : table.format(nanoseconds)
    }
    /// `range` for people: "100us to 10s".
    static func format(_ range: ClosedRange<Int>) -> String {
        "\(format(range.lowerBound)) to \(format(range.upperBound))"
    }
}
