// Order and loss between two ports, frame by frame: every frame carries a sequence number.
//
// How fast frames go is not asked here: the most that this machine gets across is measured, and
// half of it must lose nothing.

import Control
import Foundation
import Testing

extension EndToEnd {
    /// Sequence-numbered frames of four sizes, at full rate and at half of it.
    @Suite("Order and loss")
    struct OrderAndLoss {
        /// Seconds without loss at half of the maximum rate; the promise is kept for ten.
        static let seconds =
            ProcessInfo.processInfo.environment["RINGSWITCH_TEST_SECONDS"].flatMap(Int.init)

        @Test(arguments: [(60, 2), (1514, 10), (9014, 2), (65_000, 2)])
        func `no frame is ever out of order, and every lost one is counted`(
            size: Int, duration: Int
        ) async throws {
            let maxFrame = size > 1518 ? "max_frame = 65550" : ""
            let full = try await offer(size, rate: "max", seconds: 1, keys: maxFrame)
            let flow = try #require(full.flow(0))
            #expect(full.faults == 0)
            let most = Double(flow.frames) / flow.seconds

            // What the defaults do to frames that are late is the queue's own test.
            let duration = Self.seconds ?? duration
            let half = try await offer(
                size, rate: String(max(1, Int(most / 2))), seconds: duration,
                keys: maxFrame + "\n" + SwitchProcess.patientKeys)
            print(
                "\(size) bytes: at most \(Int(most)) frames/s, lost \(flow.lost) of "
                    + "\(full.sent[0].sent); at half of it lost \(half.flow(0)?.lost ?? 0) of "
                    + "\(half.sent[0].sent) in \(duration) s (not offered for want of time: "
                    + "\(half.sent[0].missed))")
            #expect(half.faults == 0)
            #expect(half.flow(0)?.lost == 0)
        }

        /// One flow from `a` to `b` through a fresh switch, with exact books at its end.
        private func offer(
            _ size: Int, rate: String, seconds: Int, keys: String
        ) async throws -> LoadReport {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"], keys))
            let load = try await LoadGenerator.run(
                endpoints: [lan.endpoint("a", 0), lan.endpoint("b", 1)],
                flows: ["from=a to=b size=\(size) rate=\(rate) duration=\(seconds) check=full"])
            let report = try await lan.expectExactBooks(
                sent: load.totals.sent, received: load.totals.received)
            // Whatever was lost on the way was dropped by the switch, and for want of room only.
            let congestion: Set = ["queue_full", "queue_expired", "codel", "overtaken"]
            let dropped = report.totals.drops.filter { congestion.contains($0.key) }
            #expect(load.flow(0)?.lost == dropped.values.reduce(0, +))
            try await lan.stop()
            return load
        }
    }
}
