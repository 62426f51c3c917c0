// Storm control: what a machine floods costs others no more than its port's flood_rate.

import Control
import Foundation
import Testing

extension EndToEnd {
    /// A pair of machines beside a third one that floods.
    @Suite("Storms")
    struct Storms {
        private static let offered = 60_000

        /// Floods from `bad` for a while beside a pair that talks.
        /// - Returns: how many of its frames were too many.
        private func flood(
            _ lan: SwitchProcess, to destination: String, rate: Int
        ) async throws -> UInt64 {
            let before = try await lan.status().port("bad").drops("storm_limited")
            let load = try await LoadGenerator.run(
                endpoints: [
                    lan.endpoint("a", 0), lan.endpoint("b", 1), lan.endpoint("bad", 2),
                ],
                flows: [
                    "id=0 from=a to=b rate=1000 duration=2",
                    "id=1 from=bad to=\(destination) rate=\(rate) count=\(Self.offered)",
                ])
            #expect(load.faults == 0 && load.flow(0, at: "b")?.lost == 0)
            let report = try await lan.expectExactBooks()
            return try report.port("bad").drops("storm_limited") - before
        }

        @Test(arguments: ["broadcast", "02:00:00:00:00:99"])
        func `a storm is cut to the port's rate, told, and let through where it is wanted`(
            destination: String
        ) async throws {
            let lan = try await SwitchProcess(
                SwitchProcess.ports(["a", "b", "bad"], SwitchProcess.patientKeys))
            let follower = try ChildProcess([
                SwitchProcess.executable, "events", "--socket",
                lan.directory.file("control.sock"), "--type", "ready", "--type", "port_storms",
            ])
            try await follower.line(containing: "\"type\":\"ready\"")
            // Each lasts for more than a second. Those who follow hear of what came after the first
            // look, two seconds after they began at most.
            for _ in 0..<3 {
                let refused = try await flood(lan, to: destination, rate: 50_000)
                #expect(refused > 0 && refused < UInt64(Self.offered) - 10_000)
            }
            let line = try await follower.line(containing: "port_storms")
            let event = try ReportJSON.decode(SwitchEvent.self, from: Data(line.utf8))
            #expect(event.port == "bad" && event.count ?? 0 > 0)

            #expect(try await lan.command("port", "set", "bad", "flood_rate=0").isSuccess)
            #expect(try await flood(lan, to: destination, rate: 50_000) == 0)
            // By the file again.
            #expect(try await lan.command("reload").isSuccess)
            #expect(try await flood(lan, to: destination, rate: 50_000) > 0)
            try await lan.stop()
        }

        @Test
        func `a flow to a machine that is gone takes no question away`() async throws {
            // A tenth of a second's frames may come at once: as many as seconds of the questions,
            // for a sender that has to wait for a CPU.
            let lan = try await SwitchProcess(
                SwitchProcess.ports(
                    ["a", "b", "c"], SwitchProcess.patientKeys + "flood_rate = 1000"))
            let load = try await LoadGenerator.run(
                endpoints: [lan.endpoint("a", 0), lan.endpoint("b", 1)],
                flows: [
                    "id=0 from=a to=02:00:00:00:00:99 rate=20000 duration=2",
                    "id=1 from=a to=broadcast rate=25 duration=2",
                ])
            #expect(load.faults == 0 && load.flow(1, at: "b")?.lost == 0)
            let report = try await lan.expectExactBooks(sent: load.totals.sent)
            #expect(try report.port("a").drops("storm_limited") > 1000)
            try await lan.stop()
        }
    }
}
