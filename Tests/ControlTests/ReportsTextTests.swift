// Reports as text: tables, rates, units, and the escaping of what peers chose.

import Testing

@testable import Control

struct ReportsTextTests {
    @Test func `status is a header, a table, and what deserves attention`() {
        #expect(
            StatusText.lines(for: .sample()).joined(separator: "\n") == #"""
                lan0, ringswitch 9.8.7, pid 42, up 1m 15s, 1 worker
                2 of 3 ports up, 2 of 16384 MACs, 1000 frames received, 3 copied, \#
                987 sent, 12 dropped, 4 queued

                PORT   TYPE      STATE      PEER                          RX FRAMES  \#
                RX BYTES  TX FRAMES  TX BYTES  DROPS        QUEUE   SNDBUF
                vm1    unixgram  attached   kr\u{1b}[2J… pid 77 uid 1000       1000  \#
                97.7 KiB          5     500 B     12  4 (2.0 KiB)  4.0 MiB
                spare  unixgram  listening  -                                     0       \#
                0 B          0       0 B      0            0        -
                host   tap vnet  up         rs0                                   0       \#
                0 B        982       1 B      0            0        -

                Waiting for a peer:
                  spare  /run/ringswitch/spare.sock

                Frames dropped:
                  vm1   queue_full 10, too_big 2
                  host  before the switch: device_queue_full 7
                  (too_big: The frame was longer than the egress port's max_frame.)
                  (queue_full: The egress queue had no room.)

                Last errors:
                  vm1  cannot connect back: Permission denied

                warning: net.core.wmem_max limits vm1; sysctl -w net.core.wmem_max=4194304
                """#)
    }

    @Test func `ports that pause say how often they did, once they have`() {
        var report = StatusReport.sample()
        report.ports[1].pause = PauseStatus()
        #expect(StatusText.lines(for: report) == StatusText.lines(for: .sample()))
        report.ports[0].pause = PauseStatus(isPaused: true, count: 12, seconds: 0.0123)
        report.ports[1].pause = PauseStatus(count: 1, seconds: 3.21)
        #expect(
            StatusText.lines(for: report).joined(separator: "\n").contains(
                """
                (queue_full: The egress queue had no room.)

                Peers that had to wait for others:
                  vm1    12 times, 12.3 ms in all, paused now
                  spare  1 time, 3.2 s in all

                Last errors:
                """))
    }

    @Test func `frames that segmentation added are named where there are any`() {
        var report = StatusReport.sample()
        report.totals.segmentCopies = 44
        #expect(
            StatusText.lines(for: report)[1]
                .contains("3 copied, 44 added by segmentation, 987 sent"))
    }

    @Test func `an earlier report turns counters into rates`() throws {
        let earlier = StatusReport.sample(uptime: 75, received: 1000)
        let later = StatusReport.sample(uptime: 77, received: 21000)
        let lines = StatusText.lines(for: later, since: earlier)
        let row = try #require(lines.first { $0.hasPrefix("vm1") })
        #expect(lines[3].contains("RX PPS"))
        #expect(row.contains("10.0k  8.0 Mbit/s       0"))
    }

    @Test func `a report of another process gives no rates`() {
        let lines = StatusText.lines(for: .sample(pid: 43), since: .sample(uptime: 60))
        #expect(lines[3].contains("RX FRAMES"))
    }

    @Test func `a counter that went back starts anew`() throws {
        let earlier = StatusReport.sample(uptime: 75, received: 5000)
        let lines = StatusText.lines(for: .sample(uptime: 76, received: 1000), since: earlier)
        #expect(try #require(lines.first { $0.hasPrefix("vm1") }).contains(" 1.0k "))
    }

    @Test func `no line of a hostile report steers the terminal`() {
        var report = StatusReport.sample(name: "a\u{9b}31m\r")
        report.ports[0].name = "x\u{202e}y\u{2028}"
        report.ports[0].lastError = "\u{07}\u{1b}]0;title\u{07}"
        report.ports[1].path = "/tmp/\u{7f}\n"
        report.ports[0].counters.drops["\u{1b}c"] = 1
        report.warnings = ["\u{8}"]
        let macs = MACReport(entries: [.init(mac: "\u{1b}", port: "\n", ageSeconds: 0)])
        for line in StatusText.lines(for: report) + MACText.lines(for: macs) {
            for scalar in line.unicodeScalars {
                #expect(![.control, .format].contains(scalar.properties.generalCategory))
            }
        }
    }

    @Test func `the MAC table is sorted and counted`() {
        #expect(
            MACText.lines(for: .sample).joined(separator: "\n") == """
                VLAN  MAC                PORT    AGE  PINNED
                   -  52:54:00:00:00:02  vm1   1m 1s
                   7  52:54:00:00:00:01  host     0s  yes
                2 entries
                """)
        #expect(MACText.lines(for: MACReport(entries: [])) == ["0 entries"])
    }

    @Test func `a reload report names what changed`() {
        let report = ReloadReport(
            added: ["vm3", "vm4"], removed: ["old"], unchanged: ["vm1"],
            changedKeys: ["switch.mac_ageing"], needsRestart: ["switch.workers"])
        #expect(report.hasChanges && !ReloadReport(needsRestart: ["switch.name"]).hasChanges)
        #expect(
            report.lines == [
                "added: vm3, vm4", "removed: old", "changed: switch.mac_ageing",
                "untouched: 1 port",
                "not applied, needs a restart of the switch: switch.workers",
            ])
        #expect(ReloadReport().lines == ["nothing changed", "untouched: 0 ports"])
    }

    @Test(
        arguments: [
            (0, "0"), (9_999_999, "9999999"), (10_000_000, "10.0M"), (999_950_000, "1.0G"),
            (UInt64.max, "18446744.1T"),
        ] as [(UInt64, String)])
    func `counts are exact up to seven digits`(value: UInt64, text: String) {
        #expect(HumanUnits.count(value) == text)
    }

    @Test(
        arguments: [
            (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (4 << 20, "4.0 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
        ] as [(UInt64, String)])
    func `bytes have binary multiples`(value: UInt64, text: String) {
        #expect(HumanUnits.bytes(value) == text)
    }

    @Test(arguments: [
        (0.4, "0s"), (59.9, "59s"), (75, "1m 15s"), (18_150, "5h 2m"), (1_051_200, "12d 4h"),
        (-3, "0s"), (.infinity, "0s"),
    ])
    func `a span shows its two largest units`(seconds: Double, text: String) {
        #expect(HumanUnits.span(seconds: seconds) == text)
    }

    @Test(arguments: [
        ("plain é 漢", "plain é 漢"), ("a\\b", #"a\\b"#), ("\u{0}\u{1b}[m", #"\u{0}\u{1b}[m"#),
        ("\u{85}\u{200b}\u{feff}", #"\u{85}\u{200b}\u{feff}"#), ("\u{e000}", #"\u{e000}"#),
    ])
    func `foreign text is escaped without ambiguity`(text: String, safe: String) {
        #expect(text.terminalSafe == safe)
    }
}
