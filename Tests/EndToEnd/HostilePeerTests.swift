// Machines that send what no machine should: it is counted by name and troubles nobody else.

import Control
import Foundation
import Testing

extension EndToEnd {
    /// One hostile peer beside a pair of good ones.
    @Suite("Hostile peers")
    struct HostilePeers {
        /// Less in debug builds, where the switch is slow.
        private static let count = SwitchProcess.isDebugBuild ? 50_000 : 1_000_000

        @Test
        func `each kind of nonsense is counted under its own name`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["bad", "good"]))
            let bad = try lan.peer("bad", 66)
            let good = try lan.peer("good", 1)
            try await lan.allAttached()
            try await Peer.introduce([bad, good])
            let before = try await lan.expectExactBooks().port("bad").counters

            let nonsense: [(reason: String, datagrams: [[UInt8]])] = [
                ("runt", [[], [0], Array(bad.frame(to: good.mac).bytes.prefix(13)), []]),
                (
                    "oversize",
                    [1519, 9014, 65_535].map { bad.frame(to: good.mac, length: $0).bytes }
                ),
                (
                    "invalid_source",
                    ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:00:00:00:00:00"].map {
                        TestFrame(to: good.mac, from: $0).bytes
                    }
                ),
                (
                    "reserved_address",
                    ["01:80:c2:00:00:00", "01:80:c2:00:00:0f"].map { bad.frame(to: $0).bytes }
                ),
                ("filtered", [bad.frame(to: bad.mac).bytes]),
            ]
            for datagram in nonsense.flatMap(\.datagrams) { try bad.send(datagram) }
            // A strange type is nobody's business but the receiver's; 14 bytes are a frame.
            let strange = [
                TestFrame(to: good.mac, from: bad.mac, etherType: 0xFFFF),
                TestFrame(to: good.mac, from: bad.mac, etherType: 0),
                TestFrame(received: Array(bad.frame(to: good.mac).bytes.prefix(14))),
                bad.frame(to: good.mac, length: 1518),
            ]
            for frame in strange { try bad.send(frame) }
            let marker = bad.frame(to: good.mac, number: .max)
            try bad.send(marker)
            #expect(try await good.frames(before: marker) == strange)

            let report = try await lan.expectExactBooks(
                sent: bad.sentFrames + good.sentFrames,
                received: bad.receivedFrames + good.receivedFrames)
            let port = try report.port("bad")
            #expect(port.state == .attached)
            for (reason, datagrams) in nonsense {
                let count = port.drops(reason) - (before.drops[reason] ?? 0)
                #expect(count == UInt64(datagrams.count), "\(reason)")
            }
            try await lan.stop()
        }

        @Test(
            arguments: [
                ("empty", "runt"), ("one", "runt"), ("thirteen", "runt"), ("magic", "runt"),
                ("oversize", "oversize"), ("ethertype", "filtered"), ("macflood", "filtered"),
                ("groupsource", "invalid_source"), ("zerosource", "invalid_source"),
                ("reserved", "reserved_address"),
            ])
        func `a storm of nonsense leaves others their order and the books exact`(
            kind: String, reason: String
        ) async throws {
            let count = kind == "macflood" ? Self.count : 20_000
            let (report, load) = try await storm(kind, count: count)
            #expect(load.sent[1].sent == UInt64(count))
            #expect(try report.port("bad").drops(reason) == UInt64(count))
        }

        @Test
        func `a million random datagrams are carried or counted`() async throws {
            _ = try await storm("fuzz", count: Self.count)
        }

        /// A pair that talks while `bad` sends `count` datagrams of a kind, and after it.
        private func storm(_ kind: String, count: Int) async throws -> (StatusReport, LoadReport) {
            let lan = try await SwitchProcess(
                SwitchProcess.ports(["a", "b", "bad"], SwitchProcess.patientKeys))
            let load = try await LoadGenerator.run(
                endpoints: [
                    lan.endpoint("a", 0), lan.endpoint("b", 1), lan.endpoint("bad", 66),
                ],
                flows: [
                    "id=0 from=a to=b rate=1000 duration=1",
                    "id=1 from=bad kind=\(kind) count=\(count)",
                ], within: .seconds(240))
            #expect(load.faults == 0)
            #expect(load.flow(0, at: "b")?.lost == 0)
            let report = try await lan.expectExactBooks(
                sent: load.totals.sent, received: load.totals.received)

            // All three ports are free again, and serve.
            try await lan.waitUntil("all ports listen") { report in
                report.ports.allSatisfy { $0.state == .listening }
            }
            let after = try await LoadGenerator.run(
                endpoints: [lan.endpoint("b", 1), lan.endpoint("bad", 66)],
                flows: ["from=bad to=b rate=1000 count=100", "from=b to=bad rate=1000 count=100"])
            #expect(after.faults == 0 && after.received.map(\.lost) == [0, 0])
            try await lan.stop()
            return (report, load)
        }
    }
}

extension SwitchProcess {
    /// Whether the binary under test is the slow one with assertions, beside the test bundle.
    static let isDebugBuild = !executable.contains("/release/") && executable.contains("/debug/")
    /// Whether it was built with a sanitizer, which keeps what is freed for a while.
    static let isSanitized = ["/.build-tsan/", "/.build-asan/"].contains(where: executable.contains)
}
