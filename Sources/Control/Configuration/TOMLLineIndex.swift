/// The line of every table, key and array element of a TOML document.
///
/// **Theory of operation.** The parser in use does not give out where a value stood, so this walks
/// the text as well. It needs no errors, for the parser has them: it has to know just enough of
/// TOML not to lose its way, which is where strings, comments, arrays and inline tables begin and
/// end. A header `[a.b]` sets the table that following keys belong to; `[[a]]` adds an element to
/// an array, and a later header that passes through `a` means its last element. Text that the
/// parser would refuse gives wrong lines at worst; every loop moves forward.
///
/// **Hazards.** toml++ 3.4.0, which does the parsing, ends the process by an assertion, in release
/// builds too, on some text that is no TOML: a typing error would stop a running switch at a
/// reload. Found by fuzzing, and recognised here before the parser sees them: a header that goes
/// on with something that begins no key (`[=`), a brace or a letter beyond ASCII in the place of
/// an array's element, and several kinds of broken dates (no key takes a right one). Nesting is
/// bounded as well, for it is walked by recursion.
struct TOMLLineIndex {
    /// Line, from 1, of each path.
    private(set) var lines: [TOMLPath: Int] = [:]
    /// Line of the first string with an escaped zero character.
    private(set) var lineOfZeroEscape: Int?
    /// The first thing that the parser must not see.
    private(set) var hazard: Hazard?

    /// Something in a text that is no TOML, or none of any use here, and not safe to parse.
    struct Hazard {
        /// Offset in UTF-8 of the statement that has it; what is before is safe.
        let statement: Int
        let line: Int
        let column: Int
        let message: String
    }

    private static let depthLimit = 64

    private let bytes: [UInt8]
    private var position = 0
    private var line = 1
    private var lineStart = 0
    private var statement = 0
    /// Elements that `[[...]]` headers have made so far.
    private var elementCounts: [TOMLPath: Int] = [:]

    /// Reads the whole of `text`.
    init(_ text: String) {
        bytes = Array(text.utf8)
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
        var table = TOMLPath()
        while true {
            skipBlank()
            guard hazard == nil, let byte = peek else { break }
            statement = position
            if byte == UInt8(ascii: "[") { table = header() } else { pair(in: table) }
        }
    }

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func advance() {
        guard position < bytes.count else { return }
        position += 1
        if bytes[position - 1] == UInt8(ascii: "\n") {
            line += 1
            lineStart = position
        }
    }

    /// Whether the next byte is `byte`; then it is taken.
    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: byte) else { return false }
        advance()
        return true
    }

    private mutating func skipSpaces() {
        while peek == UInt8(ascii: " ") || peek == UInt8(ascii: "\t") { advance() }
    }

    /// Skips spaces, ends of lines and comments.
    private mutating func skipBlank() {
        while let byte = peek {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"):
                advance()
            case UInt8(ascii: "#"):
                while let byte = peek, byte != UInt8(ascii: "\n") { advance() }
            default: return
            }
        }
    }

    private mutating func note(_ path: TOMLPath, at line: Int) {
        if lines[path] == nil { lines[path] = line }
        if path.components.count > Self.depthLimit { report("nested too deeply") }
    }

    /// Keeps the first hazard and gives up the rest of the text.
    private mutating func report(_ message: String) {
        if hazard == nil {
            hazard = Hazard(
                statement: statement, line: line, column: position - lineStart + 1,
                message: message)
        }
        position = bytes.count
    }

    // MARK: Statements

    private mutating func header() -> TOMLPath {
        let start = line
        advance()
        let isElement = take("[")
        skipSpaces()
        if let byte = peek, !Self.beginsKey(byte), byte != UInt8(ascii: "]"),
            isElement || byte != UInt8(ascii: "[")
        {
            report("expected a key in brackets")
        }
        let keys = dottedKey()
        while take("]") {}
        var path = TOMLPath()
        for (offset, key) in keys.enumerated() where hazard == nil {
            path = path.key(key)
            note(path, at: start)
            let isLast = offset == keys.count - 1
            if isLast, isElement { elementCounts[path, default: 0] += 1 }
            if let count = elementCounts[path], !isLast || isElement {
                path = path.index(count - 1)
            }
        }
        note(path, at: start)
        return path
    }

    private mutating func pair(in table: TOMLPath) {
        let start = (line: line, position: position)
        var path = table
        for key in dottedKey() where hazard == nil {
            path = path.key(key)
            note(path, at: start.line)
        }
        skipSpaces()
        if take("=") { value(at: path) }
        if position == start.position { advance() }
    }

    private mutating func dottedKey() -> [String] {
        var keys: [String] = []
        repeat {
            skipSpaces()
            let start = position
            if peek == UInt8(ascii: "\"") || peek == UInt8(ascii: "'") {
                string()
                // A key with escapes keeps them here and is not found again: it has no line.
                let content = bytes[start..<position].dropFirst().dropLast()
                keys.append(String(decoding: content, as: UTF8.self))
            } else {
                while let byte = peek, !Self.endsBareKey(byte) { advance() }
                keys.append(String(decoding: bytes[start..<position], as: UTF8.self))
            }
            skipSpaces()
        } while take(".")
        return keys
    }

    private static func beginsKey(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
            UInt8(ascii: "\""), UInt8(ascii: "'"):
            true
        default: false
        }
    }

    private static func endsBareKey(_ byte: UInt8) -> Bool {
        byte <= UInt8(ascii: " ") || ".=]},#\"'".utf8.contains(byte)
    }

    // MARK: Values

    private mutating func value(at path: TOMLPath) {
        skipSpaces()
        switch peek {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): string()
        case UInt8(ascii: "["):
            advance()
            var count = 0
            while skipToMember(closing: "]") {
                let start = position
                if let byte = peek, byte == UInt8(ascii: "}") || byte >= 0x80 {
                    report("expected a value or ']'")
                }
                note(path.index(count), at: line)
                value(at: path.index(count))
                if position == start { advance() }
                count += 1
            }
        case UInt8(ascii: "{"):
            advance()
            while skipToMember(closing: "}") { pair(in: path) }
        default: scalar()
        }
    }

    /// Skips a number or a boolean. A date is a number with a hyphen that is no sign of an
    /// exponent, a time one with colons.
    private mutating func scalar() {
        let start = position
        while let byte = peek, !",]}#\r\n".utf8.contains(byte) {
            let previous = position > start ? bytes[position - 1] : UInt8(ascii: "e")
            if byte >= 0x80 {
                report("expected a value")
            } else if byte == UInt8(ascii: ":")
                || byte == UInt8(ascii: "-") && !"eE".utf8.contains(previous)
            {
                report("no key takes a date or a time")
            }
            advance()
        }
    }

    /// Moves to the next member of an array or inline table; false at its end, which is taken.
    private mutating func skipToMember(closing end: Unicode.Scalar) -> Bool {
        skipBlank()
        while take(",") { skipBlank() }
        return peek != nil && !take(end)
    }

    /// Skips a string of any of the four kinds.
    private mutating func string() {
        guard let quote = peek else { return }
        let isMultiline = bytes[position...].starts(with: [quote, quote, quote])
        let length = isMultiline ? 3 : 1
        for _ in 0..<length { advance() }
        while let byte = peek {
            if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                let zeros = [#"\u0000"#, #"\U00000000"#]
                if zeros.contains(where: { bytes[position...].starts(with: $0.utf8) }) {
                    lineOfZeroEscape = lineOfZeroEscape ?? line
                }
                advance()
                advance()
            } else if byte == quote, !isMultiline || isClosed(by: quote) {
                for _ in 0..<length { advance() }
                return
            } else {
                advance()
            }
        }
    }

    /// Whether the last three quotes of a multi-line string stand here: it may end in five.
    private func isClosed(by quote: UInt8) -> Bool {
        let rest = bytes[position...]
        return rest.starts(with: [quote, quote, quote])
            && !rest.starts(with: [quote, quote, quote, quote])
    }
}
