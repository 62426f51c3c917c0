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
        /// The part of iperf3's JSON report that is looked at.
        private struct IperfReport: Decodable {
            struct End: Decodable { let sumReceived: Sum }
            struct Sum: Decodable {
                let bytes: Double
                let bitsPerSecond: Double
            }
            let end: End
        }

        @Test
        func `TCP flows between two namespaces and every frame is accounted for`() async throws {
            let server = try await LANHost(.none, 1)
            let client = try await LANHost(.none, 2)
            let lan = try await SwitchProcess(server.port + client.port)
            try await LANHost.join([server, client], lan)

            let listener = try ChildProcess(
                server.namespace.inside(["iperf3", "--server", "--one-off", "--forceflush"]))
            try await listener.line(containing: "Server listening")
            let result = try await ChildProcess.run(
                client.namespace.inside([
                    "iperf3", "--client", server.address, "--time", "3", "--json",
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
            #expect(await listener.ending() == .exited(0))
            let last = try await ChildProcess.run(
                client.namespace.inside([
                    "ping", "-c", "3", "-i", "0.2", "-W", "20", server.address,
                ]))
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
