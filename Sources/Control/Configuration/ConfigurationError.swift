/// One thing that is wrong with a configuration, printed as one line.
///
///     lan.toml:12: port[2].max_fram (port "vm2"): unknown key; did you mean max_frame?
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// File as the user named it.
    public var file: String
    /// Line in the file, from 1, where it is known.
    public var line: Int?
    /// Column in the line, from 1; only errors of the TOML syntax know it.
    public var column: Int?
    /// Path of the key, `port[2].max_frame`; ports count from 1. Empty for the file as a whole.
    public var keyPath: String
    /// Name of the port that the key belongs to, as the file has it, where it is known.
    public var portName: String?
    /// What is wrong.
    public var message: String
    /// What would be right.
    public var allowed: String?
    /// What the user probably meant, as it would stand in the file.
    public var suggestion: String?

    /// The error on one line: where, which key, what is wrong, what is allowed, what was meant.
    public var description: String {
        var text = file
        if let line { text += ":\(line)" }
        if let column { text += ":\(column)" }
        if !keyPath.isEmpty { text += ": \(keyPath)" }
        if let portName { text += " (port \(TOMLText.quoted(portName)))" }
        text += ": \(message)"
        if let allowed { text += "; allowed: \(allowed)" }
        if let suggestion { text += "; did you mean \(suggestion)?" }
        return text
    }
}

/// Everything that is wrong with a configuration, in the order of the file.
public struct ConfigurationErrors: Error, Equatable, Sendable, CustomStringConvertible {
    /// The errors; never empty.
    public let errors: [ConfigurationError]

    /// All errors, one a line.
    public var description: String { errors.map(\.description).joined(separator: "\n") }

    /// Sorts by line (errors of the whole file first) and keeps one of several equal errors: what
    /// stands in `[port_defaults]` is found wrong once for each port.
    init(_ found: [ConfigurationError]) {
        precondition(!found.isEmpty, "an empty list of errors is no error")
        let order = found.indices.sorted {
            (found[$0].line ?? 0, $0) < (found[$1].line ?? 0, $1)
        }
        var seen: Set<String> = []
        errors = order.map { found[$0] }.filter { seen.insert($0.description).inserted }
    }

    /// One error about the file as a whole, or about one place of its text.
    init(file: String, line: Int? = nil, column: Int? = nil, _ message: String) {
        self.init([
            ConfigurationError(
                file: file, line: line, column: column, keyPath: "", message: message)
        ])
    }
}

/// Something found wrong at one place of the tree, before it is known whose place that is.
struct ConfigurationProblem {
    var path: TOMLPath
    var line: Int?
    var message: String
    var allowed: String?
    var suggestion: String?

    /// A problem at `node`.
    init(_ node: TOMLNode, _ message: String, allowed: String? = nil, suggestion: String? = nil) {
        self.init(
            path: node.path, line: node.line, message, allowed: allowed, suggestion: suggestion)
    }

    init(
        path: TOMLPath, line: Int?, _ message: String, allowed: String? = nil,
        suggestion: String? = nil
    ) {
        self.path = path
        self.line = line
        self.message = message
        self.allowed = allowed
        self.suggestion = suggestion
    }

    /// The problem as the user sees it.
    func error(file: String, portName: String? = nil) -> ConfigurationError {
        ConfigurationError(
            file: file, line: line, keyPath: path.description, portName: portName,
            message: message, allowed: allowed, suggestion: suggestion)
    }
}
