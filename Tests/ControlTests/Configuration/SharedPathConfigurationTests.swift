// Ports that share a path: what may be said, and how it is written.

import Testing

@testable import Control

@Suite struct SharedPathConfigurationTests {
    private let text = """
        [[port]]
        name = "vm-{n}"
        count = 3
        type = "unixgram"
        path = "vms.sock"
        shared = true

        [[port]]
        name = "more"
        type = "unixgram"
        path = "vms.sock"
        shared = true
        allow_uids = [1000]
        """

    private func path(of port: PortConfiguration) -> String? {
        guard case .unixgram(let socket) = port.kind, socket.isShared else { return nil }
        return socket.path
    }

    @Test func `ports of one path have names of their own`() throws {
        let ports = try parse(text).ports
        #expect(ports.map(\.name) == ["vm-1", "vm-2", "vm-3", "more"])
        #expect(ports.allSatisfy { path(of: $0) == "/run/ringswitch/vms.sock" })
    }

    @Test func `what is written gives the same ports again`() throws {
        let configuration = try parse(text)
        #expect(try parse(configuration.toml).ports == configuration.ports)
        let essentials = configuration.essentials(environment: rootEnvironment)
        #expect(try parse(essentials).ports == configuration.ports)
    }

    @Test func `a path is only shared by those that all say so`() throws {
        let alone = text.replacing("shared = true\nallow", with: "allow")
        #expect(throws: ConfigurationErrors.self) { try parse(alone) }
        let unnumbered = text.replacing("shared = true\n", with: "")
        #expect(throws: ConfigurationErrors.self) { try parse(unnumbered) }
    }

    @Test func `a shared path leaves room for the name of its socket's successor`() {
        func port(_ length: Int) -> String {
            "[[port]]\nname = \"a\"\ntype = \"unixgram\"\nshared = true\npath = \"/"
                + String(repeating: "p", count: length - 1) + "\"\n"
        }
        #expect(throws: Never.self) { try parse(port(103)) }
        #expect(throws: ConfigurationErrors.self) { try parse(port(104)) }
    }
}
