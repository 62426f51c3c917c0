// Real TCP between isolated hosts: the stacks of two network namespaces, iperf3 in each.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// Two namespaces, each joined to a unixgram port by `ringswitch attach`, as libkrun joins.
    @Suite(
        "Real TCP",
        .enabled(if: NetworkNamespace.isAvailable, "\(NetworkNamespace.requirement)"),
        .enabled(if: ChildProcess.isInstalled("iperf3"), "iperf3 is not installed"))
    struct RealTCP {
        /// A host on the LAN: a namespace and the process that carries its frames to a port.
        private final class Host {
            let namespace: NetworkNamespace
            let attachment: ChildProcess

            init(_ name: String, address: String, port: String) async throws {
                namespace = try NetworkNamespace(name)
                // Frames that nobody asked for would still be on their way when it is counted.
                let silence =
                    "for i in all default; do "
                    + "echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done"
                _ = try await ChildProcess.run(namespace.inside(["sh", "-c", silence]))
                attachment = try ChildProcess([
                    SwitchProcess.executable, "attach", port, "--netns", namespace.name,
                    "--address", address, "--json",
                ])
            }

            /// Leaves the LAN.
            /// - Returns: what this host says that it exchanged with the switch.
            func leave() async throws -> AttachReport {
                attachment.send(signal: SIGTERM)
                let result = try await attachment.result(within: .seconds(10))
                guard result.isSuccess else { throw attachment.failure("did not end well") }
                let decoder = JSONDecoder()
                decoder.keyDecodingStrategy = .convertFromSnakeCase
                return try decoder.decode(
                    AttachReport.self, from: Data(result.standardOutput.utf8))
            }
        }

        /// The part of `attach --json` that is looked at.
        private struct AttachReport: Decodable {
            struct Direction: Decodable {
                let frames: UInt64
                let bytes: UInt64
            }
            let toSwitch: Direction
            let fromSwitch: Direction
        }

        /// The part of iperf3's JSON report that is looked at.
        private struct IperfReport: Decodable {
            struct End: Decodable { let sumReceived: Sum }
            struct Sum: Decodable {
                let bytes: Double
                let bitsPerSecond: Double
            }
            let end: End
        }

        @Test(.timeLimit(.minutes(2)))
        func `TCP flows between two namespaces and every frame is accounted for`() async throws {
            let lan = try await SwitchProcess(
                """
                [[port]]
                name = "host-{n}"
                count = 2
                type = "unixgram"
                """)
            let server = try await Host(
                "server", address: "10.0.0.1/24", port: lan.socket("host-1.sock"))
            let client = try await Host(
                "client", address: "10.0.0.2/24", port: lan.socket("host-2.sock"))
            try await lan.waitUntil("both hosts are attached", within: .seconds(10)) { report in
                report.ports.allSatisfy { $0.state == .attached }
            }

            let listener = try ChildProcess(
                server.namespace.inside(["iperf3", "--server", "--one-off", "--forceflush"]))
            try await listener.line(containing: "Server listening", within: .seconds(10))
            let result = try await ChildProcess.run(
                client.namespace.inside([
                    "iperf3", "--client", "10.0.0.1", "--time", "3", "--json",
                ]))
            #expect(result.isSuccess, "\(result.standardOutput)")
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            let received = try decoder.decode(
                IperfReport.self, from: Data(result.standardOutput.utf8)
            ).end.sumReceived
            print("real TCP: \(Int(received.bitsPerSecond / 1e6)) Mbit/s between namespaces")
            #expect(received.bytes > 1e6)

            // The last segments overtake the end of the programs; what is asked after them is
            // answered after them.
            #expect(await listener.ending(within: .seconds(10)) == .exited(0))
            let last = try await ChildProcess.run(
                client.namespace.inside(["ping", "-c", "1", "-W", "5", "10.0.0.1"]))
            #expect(last.isSuccess, "\(last.standardOutput)")
            // What the hosts say that they sent and received, frame by frame and byte by byte, is
            // what the switch says; whatever is missing in between has a reason.
            let hosts = [try await client.leave(), try await server.leave()]
            let totals = try await lan.expectExactBooks(
                sent: hosts.reduce(0) { $0 + $1.toSwitch.frames },
                received: hosts.reduce(0) { $0 + $1.fromSwitch.frames }
            ).totals
            #expect(totals.receivedBytes == hosts.reduce(0) { $0 + $1.toSwitch.bytes })
            #expect(totals.sentBytes == hosts.reduce(0) { $0 + $1.fromSwitch.bytes })
            // All that iperf3 received went through the switch, in frames with their headers.
            #expect(Double(totals.sentBytes) > received.bytes)
            try await lan.stop()
        }
    }
}
