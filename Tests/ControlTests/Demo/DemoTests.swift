import Foundation
import Glibc
import Testing

@testable import Control

/// The parts of `demo` that need no switch: reports, words, children, clearing up.
@Suite struct DemoTests {
    @Test func `an iperf3 report is read`() throws {
        let json = """
            {"start": {}, "end": {"streams": [],
              "sum_sent": {"bits_per_second": 2e9, "seconds": 5.0, "retransmits": 12, "bytes": 1},
              "sum_received": {"bits_per_second": 1.5e9, "seconds": 5.01, "bytes": 1}}}
            """
        let result = try IperfResult(json: Data(json.utf8))
        #expect(result.bitsPerSecond == 1.5e9)
        #expect(result.retransmits == 12)
        #expect(result.seconds == 5.01)
    }

    @Test(arguments: [
        (#"{"start": {}, "end": {}, "error": "unable to connect to server"}"#, "unable to connect"),
        (#"{"start": {}, "end": {}}"#, "no sums"),
        ("", "not understood"),
    ])
    func `an iperf3 that failed is quoted`(json: String, words: String) {
        #expect {
            _ = try IperfResult(json: Data(json.utf8))
        } throws: { error in
            "\(error)".hasPrefix("iperf3: ") && "\(error)".contains(words)
        }
    }

    @Test func `numbers are easy to read`() {
        #expect(DemoReport.grouped(0) == "0")
        #expect(DemoReport.grouped(999) == "999")
        #expect(DemoReport.grouped(1_234_567) == "1,234,567")
        #expect(DemoReport.throughput(4_123_400_000) == "4.12 Gbit/s")
        #expect(DemoReport.throughput(999_996) == "1.00 Mbit/s")
        #expect(DemoReport.throughput(0) == "0.00 bit/s")
    }

    @Test func `the books balance only when both the switch and the hosts agree`() {
        let totals = TrafficTotals(
            receivedFrames: 10, sentFrames: 9, floodCopies: 1, drops: ["no_peer": 2])
        var report = DemoReport(
            directions: [], totals: totals, unaccountedFrames: totals.unaccountedFrames,
            hostsSentFrames: 10, hostsReceivedFrames: 9, checksumsCompleted: 1234)
        #expect(report.booksBalance && report.isGood)
        #expect(report.countingLines.contains { $0.contains("no_peer") })
        #expect(!report.countingLines.contains { $0.contains("segment") })
        report.hostsSentFrames = 11
        #expect(!report.booksBalance)
        #expect(report.verdictLines[1].contains("but the switch received 10"))
        report.hostsSentFrames = 10
        report.unaccountedFrames = 1
        #expect(!report.booksBalance)
        report.unaccountedFrames = 0
        report.leftovers = ["directory /tmp/x"]
        #expect(report.booksBalance && !report.isGood)
    }

    @Test func `frames longer than the MTU and completed checksums are shown`() {
        var report = DemoReport(
            directions: [],
            totals: TrafficTotals(receivedFrames: 1000, receivedBytes: 31_400_499),
            unaccountedFrames: 0, hostsSentFrames: 1000, hostsReceivedFrames: 1000,
            checksumsCompleted: 1234)
        #expect(
            report.verdictLines.last
                == "A frame had 31,400 bytes on average, at an MTU of 1500; 1,234 checksums were "
                + "completed.")
        report.totals = TrafficTotals()
        #expect(report.verdictLines.last?.hasPrefix("A frame had 0 bytes") == true)
    }

    @Test func `options out of range are wrong usage`() {
        #expect(throws: DemoError.self) { try DemoOptions(seconds: 0).validate() }
        #expect(throws: DemoError.self) { try DemoOptions(streams: 129).validate() }
        #expect(DemoError.interrupted(signal: 2).exitCode == 130)
    }

    @Test func `the switch's configuration quotes its directory`() {
        let text = DemoStage.configuration(runtimeDirectory: #"/tmp/a"b\c"#, ports: ["a", "b"])
        #expect(text.contains(#"runtime_dir = "/tmp/a\"b\\c""#))
        #expect(
            text.hasSuffix(
                """
                [[port]]
                name = "b"
                type = "unixgram"
                path = "b.sock"
                offload = "raw"

                """))
    }

    @Test func `a stage that is cleared leaves nothing behind`() throws {
        let stage = try DemoStage()
        let child = try stage.start(name: "sleeper", label: "sleeper", ["sleep", "1000"])
        #expect(stage.clear().isEmpty)
        #expect(child.process.exitCode == 128 + SIGTERM)
        #expect(!FileManager.default.fileExists(atPath: stage.directory.path))
    }

    @Test func `a child that ended too early is quoted`() throws {
        let stage = try DemoStage()
        let child = try stage.start(
            name: "host a", label: "x", ["sh", "-c", "echo 'ringswitch: no luck' >&2; exit 3"])
        child.process.wait(milliseconds: 10_000)
        #expect("\(child.endedTooEarly)" == "host a: no luck")
    }
}
