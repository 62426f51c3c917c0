import Testing

@testable import Control

/// A text that is no configuration, and everything that a user is told of it.
struct BrokenConfiguration: Sendable, CustomTestStringConvertible {
    let title: String
    let text: String
    /// All errors, one a line.
    let errors: String

    var testDescription: String { title }

    /// All of them.
    static let all =
        document + switchKeys + ports + sources + counts + unixgramPorts + streamPorts + tapPorts
        + portDefaults + several

    /// A whole text.
    static func whole(_ title: String, _ text: String, _ errors: String) -> Self {
        BrokenConfiguration(title: title, text: text, errors: errors)
    }

    /// `keys` in `[switch]`, from line 2, and a port.
    static func inSwitch(_ title: String, _ keys: String, _ errors: String) -> Self {
        whole(title, "[switch]\n\(keys)\n\(unixgramPort)", errors)
    }

    /// `keys` in a port of type unixgram, from line 4.
    static func inUnixgramPort(_ title: String, _ keys: String, _ errors: String) -> Self {
        whole(title, "\(unixgramPort)\(keys)\n", errors)
    }

    /// `keys` in a port of type tap, from line 5.
    static func inTAPPort(_ title: String, _ keys: String, _ errors: String) -> Self {
        whole(title, "\(tapPort)\(keys)\n", errors)
    }

    private static let unixgramPort = """
        [[port]]
        name = "vm1"
        type = "unixgram"

        """
    private static let tapPort = """
        [[port]]
        name = "host"
        type = "tap"
        device = "rs0"

        """
}

/// A root user, whom no variable of the test's own environment touches.
let rootEnvironment = ConfigurationEnvironment(userID: 0)

/// Parses as root, under the name of the files in these tests.
func parse(_ text: String) throws(ConfigurationErrors) -> Configuration {
    try Configuration.parse(text: text, fileName: "lan.toml", environment: rootEnvironment)
}

@Suite struct ConfigurationErrorTests {
    @Test(arguments: BrokenConfiguration.all)
    func `a broken configuration is told in full`(broken: BrokenConfiguration) {
        let error = #expect(throws: ConfigurationErrors.self) { try parse(broken.text) }
        #expect(error?.description == broken.errors)
    }

    @Test func `every error is one line that names the file`() {
        for broken in BrokenConfiguration.all {
            let errors = #expect(throws: ConfigurationErrors.self) { try parse(broken.text) }
            for error in errors?.errors ?? [] {
                #expect(error.description.hasPrefix("lan.toml:"))
                #expect(!error.description.contains { $0.isNewline })
            }
        }
    }

    /// Bytes are overwritten and cut out, from a fixed seed; what is left is often not even TOML.
    @Test func `a damaged configuration is read or refused`() {
        let whole = BrokenConfiguration.several.map(\.text).joined(separator: "\n").utf8
        var state: UInt64 = 42
        func random(below limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        for _ in 0..<1000 {
            var bytes = Array(whole)
            bytes.removeSubrange(..<random(below: bytes.count))
            for _ in 0..<random(below: 8) where !bytes.isEmpty {
                let letters = Array("[]{}=,.\"'\\#\n aZ0\u{0}".utf8)
                bytes[random(below: bytes.count)] = letters[random(below: letters.count)]
            }
            let text = String(decoding: bytes, as: UTF8.self)
            do throws(ConfigurationErrors) {
                #expect(try !parse(text).ports.isEmpty)
            } catch {
                #expect(!error.errors.isEmpty)
            }
        }
    }

    @Test func `no two cases are the same`() {
        let titles = BrokenConfiguration.all.map(\.text)
        #expect(Set(titles).count == titles.count)
        #expect(titles.count >= 50)
    }

    @Test func `the parts of an error can be had one by one`() throws {
        let errors = #expect(throws: ConfigurationErrors.self) {
            try parse("[[port]]\nname = \"vm1\"\ntype = \"unixgram\"\nmax_fram = 1518\n")
        }
        let error = try #require(errors?.errors.first)
        #expect(errors?.errors.count == 1)
        #expect(error.file == "lan.toml")
        #expect(error.line == 4)
        #expect(error.keyPath == "port[1].max_fram")
        #expect(error.portName == "vm1")
        #expect(error.suggestion == "max_frame")
    }
}
