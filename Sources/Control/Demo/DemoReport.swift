import Foundation

/// What the demo found out.
struct DemoReport: Codable, Equatable, Sendable {
    /// One measurement.
    struct Direction: Codable, Equatable, Sendable {
        /// Host that sent.
        var from: String
        /// Host that received.
        var to: String
        var bitsPerSecond: Double
        var retransmits: Int
        var seconds: Double
    }

    /// One element a direction.
    var directions: [Direction]
    /// What the switch counted, after the hosts had left.
    var totals: TrafficTotals
    /// Frames in no counter of the switch; 0 is exact.
    var unaccountedFrames: Int64
    /// Frames that the hosts handed to the kernel for the switch.
    var hostsSentFrames: UInt64
    /// Frames that the hosts got from the switch.
    var hostsReceivedFrames: UInt64
    /// Checksums that the hosts had left unfinished and the switch completed.
    var checksumsCompleted: UInt64
    /// What could not be removed; empty is clean.
    var leftovers: [String] = []

    /// Everything is as it should be.
    var isGood: Bool { booksBalance && leftovers.isEmpty }

    /// received + copies = sent + drops + queued, and the hosts' count is the switch's.
    var booksBalance: Bool {
        unaccountedFrames == 0 && hostsSentFrames == totals.receivedFrames
    }

    /// The measurements as lines of text.
    var directionLines: [String] {
        var table = TextTable([
            ("direction", .left), ("throughput", .right), ("retransmits", .right),
        ])
        for direction in directions {
            table.append([
                "\(direction.from) -> \(direction.to)",
                Self.throughput(direction.bitsPerSecond),
                "\(direction.retransmits)",
            ])
        }
        return table.lines
    }

    /// The switch's counters as lines of text.
    var countingLines: [String] {
        var table = TextTable([("the switch counted", .left), ("frames", .right)])
        table.append(["  received", Self.grouped(totals.receivedFrames)])
        table.append(["+ flood copies", Self.grouped(totals.floodCopies)])
        if totals.segmentCopies > 0 {
            table.append(["+ segment copies", Self.grouped(totals.segmentCopies)])
        }
        table.append(["= sent", Self.grouped(totals.sentFrames)])
        table.append(["+ dropped", Self.grouped(totals.droppedFrames)])
        for (reason, count) in totals.drops.sorted(by: { $0.key < $1.key }) where count > 0 {
            table.append(["    \(reason)", Self.grouped(count)])
        }
        table.append(["+ queued", Self.grouped(totals.queuedFrames)])
        return table.lines
    }

    /// What the counters prove, as sentences.
    var verdictLines: [String] {
        let balance =
            unaccountedFrames == 0
            ? "The sum is exact: no frame was lost without a name."
            : "The sum is off by \(unaccountedFrames) frames, which must not be."
        let sent = Self.grouped(hostsSentFrames)
        let received =
            hostsSentFrames == totals.receivedFrames
            ? "The hosts sent \(sent) frames, and the switch received every one."
            : "The hosts sent \(sent) frames, but the switch received "
                + "\(Self.grouped(totals.receivedFrames))."
        let mean = totals.receivedBytes / max(1, totals.receivedFrames)
        let size =
            "A frame had \(Self.grouped(mean)) bytes on average, at an MTU of 1500; "
            + "\(Self.grouped(checksumsCompleted)) checksums were completed."
        return [balance, received, size]
    }

    /// Bits a second with a decimal multiple: "4.12 Gbit/s".
    static func throughput(_ bitsPerSecond: Double) -> String {
        var (value, prefixes) = (bitsPerSecond, ["", "k", "M", "G", "T"][...])
        // 0.005 below the step, the rounded figure would already read "1000.00".
        while value >= 999.995, prefixes.count > 1 {
            value /= 1000
            prefixes.removeFirst()
        }
        return String(format: "%.2f ", value) + prefixes[prefixes.startIndex] + "bit/s"
    }

    /// 1234567 as 1,234,567.
    static func grouped(_ number: UInt64) -> String {
        var text = ""
        for (index, digit) in String(number).reversed().enumerated() {
            if index > 0, index % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }
}
