// Several workers: frames that change from one worker's port to another's keep order and books.

import Control
import Foundation
import Testing

extension EndToEnd {
    /// Four ports on two workers, everybody to everybody.
    @Suite("Workers")
    struct Workers {
        private static let names = ["a", "b", "c", "d"]

        private func lan(workers: Int, _ keys: String = "") async throws -> SwitchProcess {
            try await SwitchProcess(
                SwitchProcess.ports(
                    Self.names, "flood_rate = 0\n" + keys, switchKeys: "workers = \(workers)"))
        }

        private func endpoints(_ lan: SwitchProcess) -> [String] {
            Self.names.enumerated().map { lan.endpoint($1, $0) }
        }

        @Test(arguments: [2, 4])
        func `every pair at once at full rate keeps order and exact books`(
            workers: Int
        ) async throws {
            let lan = try await lan(workers: workers)
            let pairs = Self.names.flatMap { from in
                Self.names.filter { $0 != from }.map { (from, $0) }
            }
            let load = try await LoadGenerator.run(
                endpoints: endpoints(lan),
                flows: pairs.map { "from=\($0) to=\($1) size=300 rate=max duration=2" })
            #expect(load.received.count == pairs.count && load.faults == 0)
            let report = try await lan.expectExactBooks(
                sent: load.totals.sent, received: load.totals.received)
            #expect(Set(report.ports.map(\.worker)).count == workers)
            #expect(report.workers.count == workers)
            try await lan.stop()
        }

        @Test
        func `floods from every port at once keep order and exact books`() async throws {
            let lan = try await lan(workers: 2)
            let load = try await LoadGenerator.run(
                endpoints: endpoints(lan),
                flows: Self.names.map { "from=\($0) to=broadcast size=300 rate=max duration=1" }
                    + ["from=a to=d size=300 rate=1000 duration=1"])
            #expect(load.faults == 0)
            // Each flood has three receivers.
            for flow in 0..<4 { #expect(load.received.count { $0.flow == flow } == 3) }
            let report = try await lan.expectExactBooks(
                sent: load.totals.sent, received: load.totals.received)
            #expect(report.totals.floodCopies > report.totals.receivedFrames)
            try await lan.stop()
        }

        @Test
        func `a load that leaves room loses nothing between workers`() async throws {
            let lan = try await lan(workers: 2, SwitchProcess.patientKeys)
            // Seconds of it find room between two workers, if one of them gets no CPU.
            let load = try await LoadGenerator.run(
                endpoints: endpoints(lan),
                flows: ["a b", "b c", "c d", "d a"].map { pair in
                    let ends = pair.split(separator: " ")
                    return "from=\(ends[0]) to=\(ends[1]) size=1514 rate=500 duration=2"
                })
            #expect(load.faults == 0)
            #expect(load.received.map(\.lost) == [0, 0, 0, 0])
            try await lan.expectExactBooks(sent: load.totals.sent, received: load.totals.received)
            try await lan.stop()
        }
    }
}
