import Glibc
import Testing

@testable import Control

/// The text of a file at the top of the repository, `nil` where there is none.
private func repositoryFile(_ name: String) -> String? {
    // This file is four levels below the top.
    let top = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
    guard let stream = fopen("/\(top)/\(name)", "r") else { return nil }
    defer { fclose(stream) }
    var bytes: [UInt8] = []
    while case let byte = getc(stream), byte != EOF { bytes.append(UInt8(byte)) }
    return String(validating: bytes, as: UTF8.self)
}

@Suite struct ConfigurationReferenceTests {
    private static let keys =
        ConfigurationSchema.switchKeys.map(\.name) + ConfigurationSchema.portKeys.map(\.name)

    @Test func `the example is a configuration`() throws {
        let text = try #require(repositoryFile("ringswitch.example.toml"))
        let configuration = try parse(text)
        #expect(configuration.ports.count == 29)
    }

    @Test func `the example shows every key`() throws {
        let text = try #require(repositoryFile("ringswitch.example.toml"))
        let lines = text.split(separator: "\n")
        for key in Self.keys {
            #expect(lines.contains { $0.hasPrefix("\(key) = ") || $0.hasPrefix("# \(key) = ") })
        }
    }

    /// The example says that it shows defaults; so what it does not except must change nothing.
    @Test func `the example states the defaults`() throws {
        let text = try #require(repositoryFile("ringswitch.example.toml"))
        let example = try parse(text)
        let plain = try parse("[[port]]\nname = \"vm1\"\ntype = \"unixgram\"\n")
        #expect(SwitchSettings(example) == SwitchSettings(plain))
        #expect(example.ports[0] == plain.ports[0])
        let tap = try parse(
            """
            [[port]]
            name = "host"
            type = "tap"
            device = "rs0"
            address = ["192.168.127.1/24", "fd00:127::1/64"]
            """)
        #expect(example.ports[28] == tap.ports[0])
    }

    @Test func `the reference has a row for every key`() {
        let rows = Configuration.reference.split(separator: "\n").filter { $0.hasPrefix("| `") }
        #expect(rows.count == Self.keys.count)
        for (row, key) in zip(rows, Self.keys) {
            #expect(row.hasPrefix("| `\(key)` | "))
            #expect(row.split(separator: " | ").count == 5)
        }
    }
}
