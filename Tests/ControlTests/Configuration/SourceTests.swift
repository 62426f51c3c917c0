// Ports whose descriptor somebody else opens: what they may say, and how they are written.

import SwitchCore
import Testing

@testable import Control

@Suite struct SourceTests {
    private let text = """
        [[port]]
        name = "vm-{n}"
        count = 2
        type = "unixgram"
        source = "handover"
        send_buffer = "1MiB"
        on_congestion = "pause"

        [[port]]
        name = "host"
        type = "tap"
        source = "inherit"
        mtu = 9000
        fd = 5
        """

    @Test func `such ports are read, and nothing is asked for that opens them`() throws {
        let ports = try parse(text).ports
        #expect(ports.map(\.name) == ["vm-1", "vm-2", "host"])
        #expect(
            ports[0].kind
                == .passed(
                    .init(
                        type: .unixgram, source: .handover, number: nil, mtu: nil,
                        sendBuffer: 1 << 20, onCongestion: .pause)))
        #expect(ports[0].pausesOnCongestion && !ports[2].pausesOnCongestion)
        #expect(
            ports[2].kind
                == .passed(
                    .init(
                        type: .tap, source: .inherit, number: 5, mtu: 9000, sendBuffer: nil,
                        onCongestion: .drop)))
        #expect(ports[2].maxFrame == 9018 && ports[2].offload == .vnet)
    }

    @Test func `what is written gives the same ports again`() throws {
        let configuration = try parse(text)
        #expect(try parse(configuration.toml).ports == configuration.ports)
        let essentials = configuration.essentials(environment: rootEnvironment)
        #expect(try parse(essentials).ports == configuration.ports)
        #expect(!essentials.contains("path") && !essentials.contains("device"))
    }

    @Test func `a changed source replaces the port`() throws {
        let old = try parse(text)
        let new = try #require(
            try old.setting(
                PortEdit(name: "vm-1", keys: ["source": "", "queue_delay": "1ms"]),
                environment: rootEnvironment))
        let change = ConfigurationChange(from: old, to: new)
        #expect(change.replaced.map(\.new.name) == ["vm-1"])
        guard case .unixgram(let socket)? = change.replaced.first?.new.kind else {
            Issue.record("\(change)")
            return
        }
        #expect(socket.path.hasSuffix("/vm-1.sock"))
    }
}
