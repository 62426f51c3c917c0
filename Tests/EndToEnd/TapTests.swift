// TAP ports: devices of the switch inside the namespaces of isolated hosts.

import Control
import Foundation
import Testing

extension EndToEnd {
    /// Hosts without any process of ours between their stack and the switch.
    @Suite(
        "TAP ports",
        .enabled(if: NetworkNamespace.isAvailable, "\(NetworkNamespace.requirement)"),
        .enabled(
            if: FileManager.default.fileExists(atPath: "/dev/net/tun"), "there is no /dev/net/tun"))
    struct TapPorts {
        /// A TAP port whose device is the network card of `namespace`.
        private func port(
            _ name: String, in namespace: NetworkNamespace, _ address: String, _ more: String = ""
        ) -> String {
            """
            [[port]]
            name = "\(name)"
            type = "tap"
            device = "\(name)0"
            netns = "\(namespace.name)"
            address = ["\(address)"]
            \(more)

            """
        }

        private func devices(_ namespace: NetworkNamespace) async throws -> String {
            try await ChildProcess.run(namespace.inside(["ip", "-brief", "address"])).standardOutput
        }

        private func ping(_ address: String, from namespace: NetworkNamespace) async throws {
            let result = try await ChildProcess.run(
                namespace.inside(["ping", "-c", "3", "-i", "0.1", "-W", "20", address]))
            #expect(result.isSuccess, "\(result.standardOutput)\(result.standardError)")
        }

        @Test(
            .enabled(if: ChildProcess.isInstalled("iperf3"), "iperf3 is not installed"))
        func `two hosts with a device each talk through the switch`() async throws {
            let east = try NetworkNamespace("east")
            let west = try NetworkNamespace("west")
            let lan = try await SwitchProcess(
                port("east", in: east, "10.0.0.1/24", "mtu = 9000")
                    + port("west", in: west, "10.0.0.2/24", "mtu = 9000"))
            let started = try await lan.status()
            #expect(started.ports.map(\.state) == [.up, .up])
            #expect(started.ports.map(\.device) == ["east0", "west0"])
            #expect(started.ports.map(\.maxFrame) == [9018, 9018])
            #expect(try await devices(east).contains("10.0.0.1/24"))
            try await ping("10.0.0.2", from: east)

            let listener = try ChildProcess(
                east.inside(["iperf3", "--server", "--one-off", "--forceflush"]))
            try await listener.line(containing: "Server listening")
            let result = try await ChildProcess.run(
                west.inside(["iperf3", "--client", "10.0.0.1", "--time", "2"]))
            #expect(result.isSuccess, "\(result.standardOutput)")
            let report = try await lan.expectExactBooks()
            #expect(report.totals.sentBytes > 1_000_000)

            try await lan.stop()
            // The devices went with the switch; loopback is all that is left.
            #expect(try await devices(east).split(separator: "\n").count == 1)
            #expect(try await devices(west).split(separator: "\n").count == 1)
        }

        @Test
        func `a device that persists outlives the switch and is taken up again`() async throws {
            let host = try NetworkNamespace("host")
            let configuration = port("host", in: host, "10.0.0.1/24", "persist = true")
            for _ in 0..<2 {
                let lan = try await SwitchProcess(configuration)
                #expect(try await lan.port("host").state == .up)
                try await lan.stop()
                #expect(try await devices(host).contains("host0"))
            }
        }

        @Test
        func `a device that somebody deletes is reported and made again`() async throws {
            let east = try NetworkNamespace("east")
            let west = try NetworkNamespace("west")
            let lan = try await SwitchProcess(
                port("east", in: east, "10.0.0.1/24") + port("west", in: west, "10.0.0.2/24"))
            try await ping("10.0.0.2", from: east)
            let deletion = try await ChildProcess.run(
                west.inside(["ip", "link", "del", "west0"]))
            #expect(deletion.isSuccess, "\(deletion.standardError)")
            try await lan.process.line(containing: "west0 failed")
            let again = try await lan.waitUntil("the device is back") {
                $0.ports[1].state == .up
            }
            #expect(try again.port("west").lastError?.contains("west0") != false)
            // The new device has a new hardware address, which its host makes known by asking.
            try await ping("10.0.0.1", from: west)
            try await ping("10.0.0.2", from: east)
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test
        func `a host on a device and a machine on a socket share a LAN`() async throws {
            let host = try NetworkNamespace("host")
            let guest = try NetworkNamespace("guest")
            let lan = try await SwitchProcess(
                port("host", in: host, "10.0.0.1/24")
                    + "[[port]]\nname = \"vm\"\ntype = \"unixgram\"\n")
            let machine = try ChildProcess([
                SwitchProcess.executable, "attach", lan.socket("vm.sock"), "--netns", guest.name,
                "--address", "10.0.0.2/24",
            ])
            try await lan.allAttached()
            try await ping("10.0.0.2", from: host)
            try await ping("10.0.0.1", from: guest)
            let macs = try await lan.macs()
            #expect(Set(macs.map(\.port)) == ["host", "vm"])
            machine.send(signal: SIGTERM)
            #expect(await machine.ending() == .exited(0))
            try await lan.expectExactBooks()
            try await lan.stop()
        }
    }
}
