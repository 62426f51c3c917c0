// What a machine that stands still costs others: nothing but the frames for itself.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// Four machines: a pair, a third one that is stopped, and a fourth that sends to it as well.
    @Suite("Independence")
    struct Independence {
        private static let third = SwitchProcess.mac(2)
        private static let stuckFlows = [1, 2]

        @Test
        func `a machine that stands still costs a pair of others no frame`() async throws {
            let rate = try await most() / 4
            let control = try await detached(rate: rate)
            let stopped = try await stopped(rate: rate)
            for (name, flow) in [("detached", control), ("stopped", stopped)] {
                print(
                    "\(rate) frames/s beside a third machine that is \(name): "
                        + "p50 \(flow.delayNs.p50 / 1000) us, p99 \(flow.delayNs.p99 / 1000) us")
            }
            // Not a question of speed: whoever waits for the stuck machine waits for seconds.
            #expect(stopped.delayNs.p50 < 1_000_000_000)
        }

        /// The most frames a second that the pair gets across.
        private func most() async throws -> Int {
            let lan = try await lan()
            let load = try await LoadGenerator.run(
                endpoints: [lan.endpoint("a", 0), lan.endpoint("b", 1)],
                flows: ["from=a to=b size=1514 rate=max duration=1"])
            let flow = try #require(load.flow(0))
            return max(4, Int(Double(flow.frames) / flow.seconds))
        }

        /// The control: the same frames, and nobody at the third port.
        private func detached(rate: Int) async throws -> LoadReport.Received {
            let lan = try await lan()
            let load = try await offer(lan, rate: rate)
            try await lan.expectExactBooks(sent: load.totals.sent, received: load.totals.received)
            return try expectNothingLost(load)
        }

        private func stopped(rate: Int) async throws -> LoadReport.Received {
            let lan = try await lan()
            let stuck = try await LoadGenerator.listening([lan.endpoint("c", 2)])
            // The first run fills what memory there is to be filled, but for that of the queue,
            // which is given back when the queue has emptied and taken again: twice its bytes.
            let port = try await lan.allAttached(["c"]).port("c")
            try await stuck.process.pause()
            _ = try expectNothingLost(try await offer(lan, rate: rate))
            let bound = try lan.residentKilobytes() + 2 * Self.queueKilobytes + 1024
            let flow = try expectNothingLost(try await offer(lan, rate: rate))
            try await lan.waitUntil("no more is held after a second like the first") { _ in
                (try? lan.residentKilobytes()) ?? .max < bound
            }

            // Its frames were dropped by name, and it is still taken for alive.
            let full = try await lan.waitUntil("its queue is empty") {
                $0.totals.queuedFrames == 0 && $0.totals.unaccountedFrames == 0
            }
            let congested = try full.port("c")
            #expect(congested.state == .attached && congested.since == port.since)
            let dropped = congested.drops("queue_full") + congested.drops("queue_expired")
            #expect(dropped > 0)

            stuck.process.resume()
            // What comes from here on may not be late, should it have to wait for a CPU.
            let change = try await lan.command(
                "port", "set", "c", "queue=fifo", "queue_delay=10s")
            #expect(change.isSuccess, "\(change.standardError)")
            let later = try await LoadGenerator.run(
                endpoints: [lan.endpoint("d", 3)],
                flows: ["id=9 from=d to=\(Self.third) rate=500 count=500"])
            #expect(later.sent[0].sent == 500)
            try await lan.expectExactBooks()
            let revived = try await stuck.end()
            // Frames of both runs before had waited in its socket, and nothing came out of order
            // after it went on.
            #expect(revived.flow(9)?.frames == 500)
            #expect(revived.flow(9)?.reordered == 0)
            try await lan.stop()
            return flow
        }

        private static let queueKilobytes = 8 << 10

        private func lan() async throws -> SwitchProcess {
            // The pair's own readers may have to wait for a CPU.
            try await SwitchProcess(
                SwitchProcess.ports(["a", "b", "d"], SwitchProcess.patientKeys)
                    + SwitchProcess.port(
                        "c", "unixgram",
                        "queue = \"fair\"\nqueue_bytes = \"\(Self.queueKilobytes)KiB\"\n"
                            + "queue_delay = \"100ms\""))
        }

        /// A second of the pair's flow, and of two flows to the third machine.
        private func offer(_ lan: SwitchProcess, rate: Int) async throws -> LoadReport {
            let side = "to=\(Self.third) size=1514 rate=\(max(1, rate / 4)) duration=2"
            return try await LoadGenerator.run(
                endpoints: [lan.endpoint("a", 0), lan.endpoint("b", 1), lan.endpoint("d", 3)],
                flows: [
                    "id=0 from=a to=b size=1514 rate=\(rate) duration=2",
                    "id=1 from=a \(side)", "id=2 from=d \(side)",
                ])
        }

        private func expectNothingLost(_ load: LoadReport) throws -> LoadReport.Received {
            let flow = try #require(load.flow(0, at: "b"))
            #expect(flow.lost == 0)
            #expect(flow.reordered == 0 && flow.duplicates == 0 && flow.corrupted == 0)
            return flow
        }
    }
}
