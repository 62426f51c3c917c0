import TOMLKit

/// Where a value stands in a document: `port[2].max_frame`.
struct TOMLPath: Hashable, CustomStringConvertible {
    enum Component: Hashable {
        case key(String)
        /// Position in an array, from 0; printed from 1, as people count ports.
        case index(Int)
    }

    var components: [Component] = []

    /// The path of `key` in the table at this path.
    func key(_ key: String) -> TOMLPath { TOMLPath(components: components + [.key(key)]) }
    /// The path of element `index` (from 0) of the array at this path.
    func index(_ index: Int) -> TOMLPath { TOMLPath(components: components + [.index(index)]) }

    var description: String {
        var text = ""
        for component in components {
            switch component {
            case .key(let key): text += (text.isEmpty ? "" : ".") + TOMLText.key(key)
            case .index(let index): text += "[\(index + 1)]"
            }
        }
        return text
    }
}

/// A value of a TOML document that knows its path and, where it can be known, its line.
///
/// TOMLKit parses; it keeps no positions of values, so the lines come from `TOMLLineIndex`.
struct TOMLNode {
    indirect enum Value {
        case string(String)
        case integer(Int)
        case float(Double)
        case boolean(Bool)
        /// Any of TOML's dates and times: no key takes one.
        case date
        case array([TOMLNode])
        case table([String: TOMLNode])
    }

    let path: TOMLPath
    let line: Int?
    let value: Value

    /// Parses `text`.
    /// - Throws: one error with line and column where the text is no TOML.
    static func parse(_ text: String, file: String) throws(ConfigurationErrors) -> TOMLNode {
        // The parser takes a C string: what follows a zero byte would be ignored silently.
        if let zero = text.utf8.firstIndex(of: 0) {
            let before = text.utf8[..<zero]
            let line = 1 + before.count { $0 == UInt8(ascii: "\n") }
            let column = 1 + before.reversed().prefix { $0 != UInt8(ascii: "\n") }.count
            throw ConfigurationErrors(
                file: file, line: line, column: column, "not valid TOML: a zero byte")
        }
        let index = TOMLLineIndex(text)
        // What is wrong before the hazard comes first; what is behind it, the parser does not see.
        let safe = index.hazard.map {
            String(decoding: text.utf8.prefix($0.statement), as: UTF8.self)
        }
        let root: TOMLTable
        do {
            root = try TOMLTable(string: safe ?? text)
        } catch let error as TOMLParseError {
            throw ConfigurationErrors(
                file: file, line: error.source.begin.line, column: error.source.begin.column,
                "not valid TOML: \(sentence(error.description))")
        } catch {
            throw ConfigurationErrors(file: file, "not valid TOML: \(error)")
        }
        if let hazard = index.hazard {
            throw ConfigurationErrors(
                file: file, line: hazard.line, column: hazard.column,
                "not valid TOML: \(hazard.message)")
        }
        if let line = index.lineOfZeroEscape {
            // Strings come back as C strings, cut at the zero.
            throw ConfigurationErrors(file: file, line: line, "a string holds a zero character")
        }
        return TOMLNode(root, path: TOMLPath(), lines: index.lines)
    }

    /// A value that stands in no text.
    init(path: TOMLPath, value: Value) {
        self.path = path
        line = nil
        self.value = value
    }

    private init(_ source: any TOMLValueConvertible, path: TOMLPath, lines: [TOMLPath: Int]) {
        self.path = path
        line = lines[path]
        switch source.type {
        case .string: value = .string(source.string ?? "")
        case .int: value = .integer(source.int ?? 0)
        case .double: value = .float(source.double ?? 0)
        case .bool: value = .boolean(source.bool ?? false)
        case .date, .time, .dateTime: value = .date
        case .array:
            var elements: [TOMLNode] = []
            for element in source.array ?? [] {
                let path = path.index(elements.count)
                elements.append(TOMLNode(element, path: path, lines: lines))
            }
            value = .array(elements)
        case .table:
            var members: [String: TOMLNode] = [:]
            let table = source.table
            for key in table?.keys ?? [] {
                guard let member = table?[key] else { continue }
                members[key] = TOMLNode(member, path: path.key(key), lines: lines)
            }
            value = .table(members)
        }
    }

    /// The value for people: `the string "two"`, `a table`.
    var found: String {
        switch value {
        case .string(let text): "the string \(TOMLText.quoted(text, limit: 60))"
        case .integer(let number): "the integer \(number)"
        case .float(let number): "the float \(number)"
        case .boolean(let flag): "the boolean \(flag)"
        case .date: "a date or time"
        case .array: "an array"
        case .table: "a table"
        }
    }

    /// toml++ begins its messages with what it was doing; people need what it found.
    private static func sentence(_ description: String) -> String {
        let text = description.split(whereSeparator: \.isNewline).joined(separator: " ")
        let prefix = "Error while "
        return text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : text
    }
}

/// Writes TOML.
enum TOMLText {
    /// `key` bare where TOML lets it be bare, else quoted.
    static func key(_ key: String) -> String {
        let isBare =
            !key.isEmpty
            && key.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
        return isBare ? key : quoted(key)
    }

    /// Words to choose from: `"none", "vnet" or "raw"`.
    static func alternatives(_ words: [String]) -> String {
        let quoted = words.map { TOMLText.quoted($0) }
        guard let last = quoted.last, quoted.count > 1 else { return quoted.joined() }
        return quoted.dropLast().joined(separator: ", ") + " or " + last
    }

    /// `text` as a basic string on one line; cut after `limit` characters, where one is given.
    static func quoted(_ text: String, limit: Int = .max) -> String {
        var result = "\""
        for scalar in (text.count > limit ? "\(text.prefix(limit))..." : text).unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}", "\u{2028}", "\u{2029}":
                let hexadecimal = String(scalar.value, radix: 16, uppercase: true)
                result += "\\u" + String(repeating: "0", count: 4 - hexadecimal.count) + hexadecimal
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
