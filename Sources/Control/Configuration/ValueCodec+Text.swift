/// Codecs of the values that are more than a number: names, words, paths, modes, accounts,
/// addresses.

internal import SwitchCore

extension ValueCodec where Value == String {
    /// A string that `check` has nothing to say against.
    private static func text(
        _ type: String = "string", allowed: String,
        check: @escaping @Sendable (String) -> Reading<String>
    ) -> Self {
        Self(type, allowed: allowed, encode: { TOMLText.quoted($0) }) {
            guard case .string(let text) = $0 else { return .wrongType() }
            return check(text)
        }
    }

    /// The name of a switch.
    static var name: Self {
        text("name", allowed: TextRule.name.allowed) { text in
            if let reason = TextRule.name.objection(to: text) {
                return .wrong(reason, suggestion: TextRule.name.correction(of: text))
            }
            return .value(text)
        }
    }

    /// A string with `{n}` in it; it is judged by `rule` when the number is in its place.
    static func template(_ rule: TextRule) -> Self {
        text(rule.type, allowed: rule.allowed) { text in
            text.isEmpty ? .wrong("is empty") : .value(text)
        }
    }

    /// The path of a directory, from the root.
    static var directory: Self {
        text("path", allowed: "an absolute path of at most 93 bytes") { text in
            guard text.hasPrefix("/") else {
                let quoted = TOMLText.quoted(text, limit: 60)
                return .wrong("\(quoted) is not an absolute path")
            }
            if text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
                return .wrong("\(TOMLText.quoted(text, limit: 60)) holds a control character")
            }
            let path = TextRule.normalized(text)
            // The longest of the switch's own names there must fit into a socket address.
            let own = Configuration.reservedFileNames.map(\.utf8.count).max() ?? 0
            guard path.utf8.count + 1 + own <= Configuration.socketPathLimit else {
                return .wrong("is \(path.utf8.count) bytes long")
            }
            return .value(path)
        }
    }
}

extension ValueCodec where Value: CaseIterable {
    /// One of the words that name the cases; `noun` says what a wrong word is not.
    private static func choice(
        _ noun: String, _ word: @escaping @Sendable (Value) -> String
    ) -> Self {
        let words = Value.allCases.map(word)
        return Self(
            "string", allowed: TOMLText.alternatives(words),
            encode: { TOMLText.quoted(word($0)) }
        ) {
            guard case .string(let text) = $0 else { return .wrongType() }
            if let value = Value.allCases.first(where: { word($0) == text }) {
                return .value(value)
            }
            let nearest = Spelling.nearest(to: text, among: words).map { TOMLText.quoted($0) }
            return .wrong(
                "\(TOMLText.quoted(text, limit: 60)) is not \(noun)", suggestion: nearest)
        }
    }
}

extension ValueCodec where Value == PortType {
    /// How a port is attached.
    static var portType: Self { choice("a type of port", \.rawValue) }
}

extension ValueCodec where Value == PortSource {
    /// Where a port's descriptor comes from.
    static var portSource: Self { choice("a source", \.rawValue) }
}

extension ValueCodec where Value == Offload {
    /// What a port's peer leaves to others.
    static var offload: Self { choice("an offload", \.word) }
}

extension ValueCodec where Value == QueueOrder {
    /// In which order frames leave a queue.
    static var queueOrder: Self { choice("an order", \.rawValue) }
}

extension ValueCodec where Value == CongestionResponse {
    /// What becomes of frames at a congested port.
    static var congestionResponse: Self { choice("a response to congestion", \.rawValue) }
}

extension ValueCodec where Value == UInt32 {
    /// Permission bits, in octal.
    static var mode: Self {
        Self(
            "mode", allowed: #"an octal string from "0000" to "0777", such as "0660""#,
            encode: { mode in
                let digits = String(mode, radix: 8)
                return TOMLText.quoted(String(repeating: "0", count: 4 - digits.count) + digits)
            }
        ) {
            switch $0 {
            case .string(let text):
                let isOctal = text.utf8.allSatisfy {
                    (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0)
                }
                guard isOctal, (3...4).contains(text.utf8.count), let mode = UInt32(text, radix: 8),
                    mode <= 0o777
                else {
                    let quoted = TOMLText.quoted(text, limit: 60)
                    return .wrong("\(quoted) is not a mode of a file")
                }
                return .value(mode)
            case .integer(let number):
                // 660 was meant as it is written; 0o660 arrives as 432, which is below 0o777.
                let digits = String(number, radix: number > 0o777 ? 10 : 8)
                let isMode = digits.count == 3 && digits.allSatisfy { "01234567".contains($0) }
                return .wrongType(suggestion: isMode ? TOMLText.quoted("0" + digits) : nil)
            default: return .wrongType()
            }
        }
    }

    /// An existing user or group by name, or any by number.
    static func account(_ accounts: Accounts) -> Self {
        Self(
            "\(accounts.noun)",
            allowed: "the name of a \(accounts.noun) of this machine, or a number",
            encode: { id in accounts.name(of: id).map { TOMLText.quoted($0) } ?? "\(id)" }
        ) {
            switch $0 {
            case .string(let name):
                if let id = accounts.id(of: name) { return .value(id) }
                return .wrong("there is no \(accounts.noun) \(TOMLText.quoted(name, limit: 60))")
            case .integer(let number):
                // The last number, (uid_t)-1, means "leave as it is" to chown(2).
                guard let id = UInt32(exactly: number), id != .max else {
                    return .wrong("\(number) is out of range")
                }
                return .value(id)
            default: return .wrongType()
            }
        }
    }
}

extension ValueCodec where Value == InterfaceAddress {
    /// An address of a device with its prefix length.
    static var address: Self {
        Self(
            "address", allowed: #"such as "192.168.127.1/24" or "fd00::1/64""#,
            encode: { TOMLText.quoted($0.description) }
        ) {
            guard case .string(let text) = $0 else { return .wrongType() }
            switch InterfaceAddress.parse(text) {
            case .success(let address): return .value(address)
            case .failure(let refusal):
                return .wrong("\(TOMLText.quoted(text, limit: 60)) \(refusal.reason)")
            }
        }
    }
}
