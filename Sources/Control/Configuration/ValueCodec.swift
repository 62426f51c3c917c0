/// How values of one type are read from a configuration and written to it.
struct ValueCodec<Value: Sendable>: Sendable {
    /// Name of the type: "size".
    let type: String
    /// What a value may be: "8KiB to 1GiB".
    let allowed: String
    /// Reads a value; adds what is wrong to the list and returns `nil` where it cannot.
    let decode: @Sendable (TOMLNode, inout [ConfigurationProblem]) -> Value?
    /// Writes a value as it stands in a file.
    let encode: @Sendable (Value) -> String
}

/// What a reader of one scalar finds.
enum Reading<Value> {
    case value(Value)
    /// The value has a type that the key does not take.
    case wrongType(suggestion: String? = nil)
    /// The value is of the right type and still wrong; the message says why.
    case wrong(String, suggestion: String? = nil)
}

extension ValueCodec {
    /// A codec from a function that judges one value.
    init(
        _ type: String, allowed: String, encode: @escaping @Sendable (Value) -> String,
        read: @escaping @Sendable (TOMLNode.Value) -> Reading<Value>
    ) {
        self.init(
            type: type, allowed: allowed,
            decode: { node, problems in
                switch read(node.value) {
                case .value(let value):
                    return value
                case .wrongType(let suggestion):
                    let article = "aeio".contains(type.prefix(1)) ? "an" : "a"
                    problems.append(
                        ConfigurationProblem(
                            node, "must be \(article) \(type), not \(node.found)",
                            allowed: allowed, suggestion: suggestion))
                case .wrong(let message, let suggestion):
                    problems.append(
                        ConfigurationProblem(
                            node, message, allowed: allowed, suggestion: suggestion))
                }
                return nil
            }, encode: encode)
    }
}

extension ValueCodec where Value == Int {
    /// A whole number in `range`.
    static func integer(_ range: ClosedRange<Int>, unit: String = "") -> Self {
        Self(
            "integer", allowed: "\(range.lowerBound) to \(range.upperBound)\(unit)",
            encode: { "\($0)" }
        ) {
            guard case .integer(let number) = $0 else { return .wrongType() }
            return range.contains(number) ? .value(number) : .wrong("\(number) is out of range")
        }
    }

    /// Bytes: an integer, or a string with a unit.
    static func size(_ range: ClosedRange<Int>) -> Self {
        let bounds = ByteSize.format(range)
        return Self(
            "size", allowed: #"\#(bounds), written like 1500, "64KiB" or "1MB""#,
            encode: { bytes in
                let text = ByteSize.format(bytes)
                return text.last?.isNumber == true ? text : TOMLText.quoted(text)
            }
        ) {
            switch $0 {
            case .integer(let number):
                return range.contains(number) ? .value(number) : .wrong("\(number) is out of range")
            case .string(let text):
                let quoted = TOMLText.quoted(text, limit: 60)
                guard let bytes = ByteSize.parse(text) else {
                    let correction = ByteSize.correction(of: text).map { TOMLText.quoted($0) }
                    return .wrong("\(quoted) is not a size", suggestion: correction)
                }
                return range.contains(bytes) ? .value(bytes) : .wrong("\(quoted) is out of range")
            default: return .wrongType()
            }
        }
    }

    /// Nanoseconds in `range`, as a string with a unit.
    static func duration(_ range: ClosedRange<Int>) -> Self {
        span(range, granularity: 1, examples: #""500us", "5ms" or "1s""#)
    }

    /// Whole seconds in `range`, as a string with a unit.
    static func seconds(_ range: ClosedRange<Int>) -> Self {
        let nanoseconds =
            (range.lowerBound * TimeSpan.second)...(range.upperBound * TimeSpan.second)
        return span(
            nanoseconds, granularity: TimeSpan.second, examples: #""300s", "5m" or "1h""#)
    }

    /// A duration counted in `granularity` nanoseconds.
    private static func span(
        _ range: ClosedRange<Int>, granularity: Int, examples: String
    ) -> Self {
        Self(
            "duration", allowed: "\(TimeSpan.format(range)), written like \(examples)",
            encode: { TOMLText.quoted(TimeSpan.format($0 * granularity)) }
        ) {
            switch $0 {
            case .string(let text):
                let quoted = TOMLText.quoted(text, limit: 60)
                guard let nanoseconds = TimeSpan.parse(text) else {
                    let correction = TimeSpan.correction(of: text).map { TOMLText.quoted($0) }
                    return .wrong("\(quoted) is not a duration", suggestion: correction)
                }
                guard range.contains(nanoseconds) else {
                    return .wrong("\(quoted) is out of range")
                }
                guard nanoseconds.isMultiple(of: granularity) else {
                    return .wrong("\(quoted) is not a whole number of seconds")
                }
                return .value(nanoseconds / granularity)
            case .integer(let number) where number >= 0:
                return .wrongType(
                    suggestion: TimeSpan.correction(of: "\(number)").map { TOMLText.quoted($0) })
            default: return .wrongType()
            }
        }
    }
}

extension ValueCodec where Value == Bool {
    /// `true` or `false`.
    static var boolean: Self {
        Self("boolean", allowed: "true or false", encode: { "\($0)" }) {
            guard case .boolean(let flag) = $0 else {
                if case .string(let text) = $0, text == "true" || text == "false" {
                    return .wrongType(suggestion: text)
                }
                return .wrongType()
            }
            return .value(flag)
        }
    }
}

extension ValueCodec {
    /// Several values of another codec, none twice. Each element that is wrong is told by itself.
    static func list<Element: Hashable & Sendable>(
        of element: ValueCodec<Element>
    ) -> Self where Value == [Element] {
        Self(
            type: "list of \(element.type)", allowed: element.allowed,
            decode: { node, problems in
                guard case .array(let nodes) = node.value else {
                    problems.append(
                        ConfigurationProblem(
                            node, "must be a list, not \(node.found)",
                            allowed: "a list in brackets, each \(element.allowed)"))
                    return nil
                }
                var values: [Element] = []
                for node in nodes {
                    guard let value = element.decode(node, &problems) else { continue }
                    if values.contains(value) {
                        problems.append(
                            ConfigurationProblem(
                                node, "\(element.encode(value)) is in the list twice"))
                    }
                    values.append(value)
                }
                return values.count == nodes.count ? values : nil
            },
            encode: { "[" + $0.map(element.encode).joined(separator: ", ") + "]" })
    }
}
