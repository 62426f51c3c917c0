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
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard let report = try? decoder.decode(Report.self, from: json) else {
            throw .failed(program: "iperf3", reason: "its report is not understood")
        }
        if let reason = report.error {
            throw .failed(program: "iperf3", reason: reason.terminalSafe)
        }
        guard let sent = report.end?.sumSent, let received = report.end?.sumReceived else {
            throw .failed(program: "iperf3", reason: "its report has no sums")
        }
        bitsPerSecond = received.bitsPerSecond
        retransmits = sent.retransmits ?? 0
        seconds = received.seconds
    }

    /// iperf3's own keys, in camel case.
    private struct Report: Decodable {
        struct End: Decodable {
            var sumSent: Sum?
            var sumReceived: Sum?
        }
        struct Sum: Decodable {
            var bitsPerSecond: Double
            var seconds: Double
            var retransmits: Int?
        }
        var error: String?
        var end: End?
    }
}
