// What monitoring sees, with the client that everybody has.

import Control
import Foundation
import Testing

extension EndToEnd {
    /// The metrics on the control socket.
    @Suite("Metrics", .enabled(if: ChildProcess.isInstalled("curl"), "curl is not installed"))
    struct Metrics {
        @Test
        func `curl reads from the control socket what status says`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let peers = [try lan.peer("a", 0), try lan.peer("b", 1)]
            try await lan.allAttached()
            try await Peer.introduce(peers)
            for _ in 0..<5 { try peers[0].send([0]) }
            let report = try await lan.expectExactBooks(
                sent: peers[0].sentFrames + peers[1].sentFrames)
            let answer = try await ChildProcess.run([
                "curl", "--silent", "--fail", "--unix-socket",
                lan.directory.file("control.sock"), "http://localhost/metrics",
            ])
            #expect(answer.isSuccess, "\(answer.standardError)")
            let samples = Set(answer.standardOutput.split(separator: "\n").map(String.init))
            for port in report.ports {
                for (name, value) in [
                    ("received", port.counters.receivedFrames), ("sent", port.counters.sentFrames),
                ] {
                    let sample =
                        "ringswitch_port_\(name)_frames_total{port=\"\(port.name)\"} \(value)"
                    #expect(samples.contains(sample), "\(answer.standardOutput)")
                }
            }
            #expect(
                samples.contains {
                    $0.hasPrefix("ringswitch_port_dropped_frames_total") && $0.contains("\"runt\"")
                        && $0.hasSuffix(" 5")
                }, "\(answer.standardOutput)")
            try await lan.stop()
        }
    }
}
