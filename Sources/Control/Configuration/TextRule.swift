/// What a name, a path, a device or a namespace may look like, once `{n}` is a number.
struct TextRule: Sendable {
    /// Name of the type for people.
    let type: String
    /// What is allowed.
    let allowed: String
    /// What is wrong with a text; `nil` where nothing is.
    let objection: @Sendable (String) -> String?

    /// What is wrong with `text`; `nil` where nothing is.
    func objection(to text: String) -> String? { objection(text) }

    /// Names of switches and ports: they stand in paths, metrics and commands.
    static let name = TextRule(
        type: "name",
        allowed: "1 to 63 characters of a-z, 0-9, '.', '_' and '-', the first a letter or digit"
    ) { text in
        let isName =
            (1...63).contains(text.utf8.count) && text.utf8.allSatisfy(isNameByte)
            && !"._-".utf8.contains(text.utf8.first ?? 0)
        return isName ? nil : "\(TOMLText.quoted(text, limit: 60)) is not a name"
    }

    /// Paths of sockets, as they stand in the file.
    static let path = TextRule(
        type: "path", allowed: "the path of a file, of at most 107 bytes with runtime_dir"
    ) { text in
        let quoted = TOMLText.quoted(text, limit: 60)
        if text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
            return "\(quoted) holds a control character"
        }
        let last = text.split(separator: "/", omittingEmptySubsequences: false).last
        return last == "" || last == "." || last == ".." ? "\(quoted) names no file" : nil
    }

    /// Names of network devices. The kernel refuses the same (dev_valid_name in net/core/dev.c),
    /// and takes `%d` for a number of its own choice, so a percent sign would not be kept.
    static let device = TextRule(
        type: "device name", allowed: "1 to 15 bytes without blanks, '/', ':' and '%'"
    ) { text in
        let quoted = TOMLText.quoted(text, limit: 60)
        guard (1...15).contains(text.utf8.count) else {
            return "\(quoted) is \(text.utf8.count) bytes long"
        }
        let isDevice =
            text.utf8.allSatisfy { $0 > UInt8(ascii: " ") && $0 != 0x7f }
            && !text.contains { "/:%".contains($0) || $0.isWhitespace }
        return isDevice && text != "." && text != ".." ? nil : "\(quoted) is not a device name"
    }

    /// Named network namespaces: files in /run/netns (ip-netns(8)).
    static let netns = TextRule(
        type: "name", allowed: "the name of a network namespace, without '/'"
    ) { text in
        let isFileName =
            (1...255).contains(text.utf8.count) && text != "." && text != ".."
            && !text.unicodeScalars.contains {
                $0 == "/" || $0.properties.generalCategory == .control
            }
        return isFileName ? nil : "\(TOMLText.quoted(text, limit: 60)) is not a namespace"
    }

    /// The name that `text` was probably meant to be: in lower case, hyphens for what may not be.
    func correction(of text: String) -> String? {
        let corrected = String(
            text.lowercased().map { character in
                character.utf8.allSatisfy(Self.isNameByte) ? character : "-"
            })
        return corrected != text && objection(to: corrected) == nil
            ? TOMLText.quoted(corrected) : nil
    }

    /// `path` without empty and `.` components, so that one file has one spelling. `..` stays:
    /// what it means depends on symbolic links.
    static func normalized(_ path: String) -> String {
        let parts = path.split(separator: "/").filter { $0 != "." }
        return (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
