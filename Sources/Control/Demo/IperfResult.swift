import Foundation

/// What an iperf3 client measured.
struct IperfResult: Equatable, Sendable {
    /// Payload that arrived, in bits a second.
    var bitsPerSecond: Double
    /// TCP segments sent again, of all streams.
    var retransmits: Int
    /// Seconds measured.
    var seconds: Double

    /// Reads the output of `iperf3 -c ... --json`.
    /// - Throws: `DemoError.failed` with iperf3's own words.
    init(json: Data) throws(DemoError) {
        guard let report = try? JSONDecoder().decode(Report.self, from: json) else {
            throw .failed(program: "iperf3", reason: "its report is not understood")
        }
        if let reason = report.error {
            throw .failed(program: "iperf3", reason: reason.terminalSafe)
        }
        guard let sent = report.end?.sum_sent, let received = report.end?.sum_received else {
            throw .failed(program: "iperf3", reason: "its report has no sums")
        }
        bitsPerSecond = received.bits_per_second
        retransmits = sent.retransmits ?? 0
        seconds = received.seconds
    }

    /// iperf3's own keys.
    private struct Report: Decodable {
        struct End: Decodable {
            var sum_sent: Sum?
            var sum_received: Sum?
        }
        struct Sum: Decodable {
            var bits_per_second: Double
            var seconds: Double
            var retransmits: Int?
        }
        var error: String?
        var end: End?
    }
}
