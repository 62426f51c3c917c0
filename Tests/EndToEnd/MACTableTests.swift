// The MAC table under many addresses, and under a machine that invents them.

import Control
import Foundation
import Testing

extension EndToEnd {
    /// What becomes of a pair's frames when there are very many addresses.
    @Suite("MAC table")
    struct ManyAddresses {
        @Test
        func `ten thousand addresses with traffic to all of them flood nobody`() async throws {
            let lan = try await SwitchProcess(
                SwitchProcess.ports(
                    ["a", "b", "c"], SwitchProcess.patientKeys, switchKeys: "mac_limit = 32768"))
            let bystander = try await LoadGenerator.listening([lan.endpoint("c", 2)])
            let traffic = try LoadGenerator(
                endpoints: [lan.endpoint("a", 0), lan.endpoint("b", 1, "extra-macs=10000")],
                flows: ["from=a to=b size=60 rate=20000 count=40000 spread=yes"],
                options: ["--ready", "--hold"])
            try await traffic.isReady()
            try await lan.waitUntil("all are learned") {
                // Those of the three machines themselves, and at most 0.05 % may be absent.
                $0.macTable.entries >= 3 + 9995
            }
            #expect(try await lan.macs().count { $0.port == "b" } >= 9996)
            traffic.go()
            let load = try await traffic.report()
            let flow = try #require(load.flow(0))
            #expect(load.faults == 0 && flow.lost == 0)
            #expect(try await lan.status().macTable.full <= 5)
            let seen = try await bystander.end()
            // Each address was sent to four times.
            #expect(seen.endpoints[0].overheard <= 4 * 5)
            try await lan.expectExactBooks(
                sent: load.totals.sent + seen.totals.sent,
                received: load.totals.received + seen.totals.received)
            try await lan.stop()
        }

        @Test
        func `the table is printed with its addresses and can be emptied`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let peers = [try lan.peer("a", 10), try lan.peer("b", 11)]
            try await lan.allAttached()
            try await Peer.introduce(peers)
            let table = try await lan.macs()
            #expect(table.map(\.mac).sorted() == peers.map(\.mac))
            #expect(Set(table.map(\.port)) == ["a", "b"])
            #expect(try await lan.command("macs", "flush").isSuccess)
            #expect(try await lan.macs().isEmpty)
            try await lan.stop()
        }

        @Test
        func `a machine that invents addresses evicts nobody else's`() async throws {
            let lan = try await SwitchProcess(
                SwitchProcess.ports(
                    ["a", "b", "c", "d"], SwitchProcess.patientKeys, switchKeys: "mac_limit = 4096")
            )
            let bystander = try await LoadGenerator.listening([lan.endpoint("c", 2)])
            // Frames to the author itself are filtered: all that they do is being learned from.
            let traffic = try LoadGenerator(
                endpoints: [
                    lan.endpoint("a", 0), lan.endpoint("b", 1, "extra-macs=500"),
                    lan.endpoint("d", 3),
                ],
                flows: [
                    "id=0 from=a to=b rate=2000 duration=2 spread=yes",
                    "id=1 from=d kind=macflood rate=100000 duration=2",
                ], options: ["--ready", "--hold"])
            try await traffic.isReady()
            try await lan.waitUntil("all are learned") { $0.macTable.entries >= 4 + 500 }
            traffic.go()
            let load = try await traffic.report()
            #expect(load.faults == 0 && load.flow(0)?.lost == 0)
            let seen = try await bystander.end()
            #expect(seen.endpoints[0].overheard == 0)
            let report = try await lan.expectExactBooks(
                sent: load.totals.sent + seen.totals.sent,
                received: load.totals.received + seen.totals.received)
            #expect(report.macTable.entries <= 4096)
            #expect(report.macTable.full > 0)
            try await lan.stop()
        }
    }
}

extension SwitchProcess {
    /// What `ringswitch macs --json` lists.
    func macs() async throws -> [MACReport.Entry] {
        let result = try await command("macs", "--json")
        return try ReportJSON.decode(MACReport.self, from: Data(result.standardOutput.utf8)).entries
    }
}
