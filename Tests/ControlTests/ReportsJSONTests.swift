// Reports as JSON, the accounting of totals, and log lines.

import Foundation
import Glibc
import Logging
import Testing

@testable import Control

struct ReportsJSONTests {
    @Test(arguments: [ReportJSON.Layout.indented, .line])
    func `a status report survives JSON`(layout: ReportJSON.Layout) throws {
        let json = try ReportJSON.encode(StatusReport.sample(), layout: layout)
        #expect(try ReportJSON.decode(StatusReport.self, from: json) == .sample())
        #expect(json.contains(UInt8(ascii: "\n")) == (layout == .indented))
    }

    @Test func `keys are snake_case and drop reasons are left as they are`() throws {
        let json = try ReportJSON.encode(StatusReport.sample(), layout: .line)
        let text = String(decoding: json, as: UTF8.self)
        for key in [
            "uptime_seconds", "mac_table", "effective_send_buffer", "received_frames",
            "flood_copies", "high_water_bytes", "last_error", "queue_full", "too_big",
            "stale_completions",
        ] {
            #expect(text.contains("\"\(key)\":"), "\(key)")
        }
        #expect(text.contains(#""since":"2023-11-14T22:13:20Z""#))
    }

    @Test func `a report of a newer switch is read as far as it is known`() throws {
        let text = """
            {"added": [], "removed": [], "replaced": ["a"], "changed": [], "unchanged": [],
             "changed_keys": [], "needs_restart": [], "of_a_newer_version": {"x": 1}}
            """
        let json = Data(text.utf8)
        #expect(
            try ReportJSON.decode(ReloadReport.self, from: json) == ReloadReport(replaced: ["a"]))
    }

    @Test func `totals balance when every frame has a fate`() {
        var totals = StatusReport.sample().totals
        #expect(totals.receivedFrames == 1000 && totals.floodCopies == 3)
        #expect(totals.sentFrames == 987 && totals.droppedFrames == 12 && totals.queuedFrames == 4)
        #expect(totals.unaccountedFrames == 0)
        totals.sentFrames -= 1
        #expect(totals.unaccountedFrames == 1)
        totals.sentFrames += 3
        #expect(totals.unaccountedFrames == -2)
    }

    @Test func `removed ports keep their share of the totals`() {
        let removed = TrafficTotals(receivedFrames: 7, sentFrames: 5, drops: ["runt": 2])
        let totals = TrafficTotals(of: StatusReport.sample().ports, onTopOf: removed)
        #expect(totals.receivedFrames == 1007 && totals.drops["runt"] == 2)
        #expect(totals.unaccountedFrames == 0)
    }

    @Test func `a log event is one line whatever it quotes`() {
        let text = LineLogHandler.text(
            "peer refused\n",
            [
                "port": "vm1", "reason": "uid 1000 \"x\"", "command": "a\nb=c", "empty": "",
                "pid": .stringConvertible(4711),
            ])
        #expect(
            text == #"peer refused\u{a} command="a\u{a}b=c" empty="" pid=4711 port=vm1"#
                + #" reason="uid 1000 \"x\"""#)
        let time = timespec(tv_sec: 1_772_366_400, tv_nsec: 123_999_999)
        #expect(
            LineLogHandler.line(at: time, level: .warning, "gone")
                == "2026-03-01T12:00:00.123Z warning gone\n")
        #expect(LineLogHandler.journalLine(level: .warning, "gone") == "<4>gone\n")
        #expect(LineLogHandler.journalLine(level: .info, "gone") == "<6>gone\n")
    }

    @Test func `the journal is known by the device and inode of its stream`() {
        let descriptor = open("/dev/null", O_WRONLY | O_CLOEXEC)
        defer { close(descriptor) }
        var status = stat()
        fstat(descriptor, &status)
        let stream = "\(status.st_dev):\(status.st_ino)"
        #expect(LineLogHandler.isJournal(descriptor, stream: stream))
        #expect(!LineLogHandler.isJournal(descriptor, stream: stream + "1"))
        #expect(!LineLogHandler.isJournal(descriptor, stream: nil))
        #expect(!LineLogHandler.isJournal(-1, stream: stream))
    }

    @Test func `a logger writes events of its level and above, with its metadata`() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        var logger = Logger(label: "test") { _ in
            LineLogHandler(level: .notice, descriptor: writing)
        }
        logger[metadataKey: "port"] = "vm1"
        logger.info("hidden")
        logger.notice("shown", metadata: ["pid": "9"])
        close(writing)
        let text = try FileHandle(fileDescriptor: reading, closeOnDealloc: true).readToEnd()
        let line = String(decoding: text ?? Data(), as: UTF8.self)
        #expect(line.hasSuffix("Z notice shown pid=9 port=vm1\n"))
        #expect(line.count { $0 == "\n" } == 1)
    }
}
