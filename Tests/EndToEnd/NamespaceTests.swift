// Real TCP between isolated hosts: the stacks of two network namespaces, iperf3 in each.

import Control
import Foundation
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

            init(_ name: String, address: String, port: String) throws {
                namespace = try NetworkNamespace(name)
                attachment = try ChildProcess([
                    SwitchProcess.executable, "attach", port, "--netns", namespace.name,
                    "--address", address,
                ])
            }
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
            let server = try Host("server", address: "10.0.0.1/24", port: lan.socket("host-1.sock"))
            let client = try Host("client", address: "10.0.0.2/24", port: lan.socket("host-2.sock"))
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

            let report = try await lan.waitUntil("the books balance", within: .seconds(5)) {
                $0.totals.unaccountedFrames == 0
            }
            // All that iperf3 received went through the switch, in frames with their headers.
            #expect(Double(report.totals.sentBytes) > received.bytes)
            try await lan.stop()
        }
    }
}
