// Values back from the literals that the codecs write. The parser is not asked: it would take a
// document, and gives back none of the memory that it takes for one, which a switch that lives long
// and whose ports come and go should not pay for.

extension TOMLNode {
    /// A value as `ValueCodec.encode` writes it: a string, a whole number, a boolean, or a list.
    /// - Precondition: it was written there.
    init(path: TOMLPath, literal: String) {
        var reader = LiteralReader(rest: literal[...])
        self = reader.node(at: path)
        precondition(reader.rest.isEmpty, "a literal that nobody writes: \(literal)")
    }
}

/// Reads literals from the front of a text.
private struct LiteralReader {
    var rest: Substring

    mutating func node(at path: TOMLPath) -> TOMLNode {
        switch rest.first {
        case "\"": return TOMLNode(path: path, value: .string(string()))
        case "[": return TOMLNode(path: path, value: .array(elements(at: path)))
        default:
            let word = rest.prefix { $0 != "," && $0 != "]" }
            rest = rest[word.endIndex...]
            if let flag = Bool(String(word)) { return TOMLNode(path: path, value: .boolean(flag)) }
            guard let number = Int(word) else { preconditionFailure("no number: \(word)") }
            return TOMLNode(path: path, value: .integer(number))
        }
    }

    private mutating func elements(at path: TOMLPath) -> [TOMLNode] {
        var nodes: [TOMLNode] = []
        rest.removeFirst()
        while rest.first != "]" {
            nodes.append(node(at: path.index(nodes.count)))
            rest = rest.drop { $0 == "," || $0 == " " }
        }
        rest.removeFirst()
        return nodes
    }

    /// A string with the escapes that `TOMLText.quoted` writes.
    private mutating func string() -> String {
        var scalars = rest.unicodeScalars.dropFirst()
        var text = String.UnicodeScalarView()
        while let scalar = scalars.popFirst(), scalar != "\"" {
            guard scalar == "\\", let escape = scalars.popFirst() else {
                text.append(scalar)
                continue
            }
            switch escape {
            case "n": text.append("\n")
            case "t": text.append("\t")
            case "u":
                let digits = String(String.UnicodeScalarView(scalars.prefix(4)))
                scalars = scalars.dropFirst(4)
                text.append(UInt32(digits, radix: 16).flatMap(Unicode.Scalar.init) ?? "?")
            default: text.append(escape)
            }
        }
        rest = Substring(scalars)
        return String(text)
    }
}
