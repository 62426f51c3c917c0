// `ringswitch status` as text.
//
// Top to bottom: a line on the switch, one line a port, then only what deserves attention: drops by
// reason, last errors, warnings. A second report taken earlier turns counters into rates, which is
// what `status --watch` shows. Everything that a peer may have chosen is escaped.

internal import SwitchCore

/// Renders a status report for people.
public enum StatusText {
    /// Widest peer cell, in characters.
    private static let peerWidth = 28

    /// The lines of `report`, without line breaks.
    /// - Parameter earlier: a former report of the same switch; when given, the table shows rates
    ///   between the two in place of counters. A report of another process (the switch was
    ///   restarted in between) is ignored.
    public static func lines(
        for report: StatusReport, since earlier: StatusReport? = nil
    ) -> [String] {
        var lines = header(report)
        lines.append("")
        if let earlier, let interval = Interval(from: earlier, to: report) {
            lines += rateTable(report, interval)
        } else {
            lines += counterTable(report)
        }
        for section in [
            sockets(report), drops(report), pauses(report), errors(report), warnings(report),
        ] where !section.isEmpty {
            lines.append("")
            lines += section
        }
        return lines
    }

    private static func header(_ report: StatusReport) -> [String] {
        let workers = report.workers.count
        let up = report.ports.count { $0.state.isUp }
        let segments = report.totals.segmentCopies
        return [
            [
                report.name.terminalSafe,
                "ringswitch \(report.version.terminalSafe)",
                "pid \(report.pid)",
                "up \(HumanUnits.span(seconds: report.uptimeSeconds))",
                "\(workers) worker\(workers == 1 ? "" : "s")",
            ].joined(separator: ", "),
            [
                "\(up) of \(report.ports.count) ports up",
                "\(report.macTable.entries) of \(report.macTable.limit) MACs",
                "\(HumanUnits.count(report.totals.receivedFrames)) frames received",
                "\(HumanUnits.count(report.totals.floodCopies)) copied",
                segments == 0 ? nil : "\(HumanUnits.count(segments)) added by segmentation",
                "\(HumanUnits.count(report.totals.sentFrames)) sent",
                "\(HumanUnits.count(report.totals.droppedFrames)) dropped",
                "\(HumanUnits.count(report.totals.queuedFrames)) queued",
            ].compactMap(\.self).joined(separator: ", "),
        ]
    }

    // MARK: Tables

    private static func counterTable(_ report: StatusReport) -> [String] {
        var table = TextTable([
            ("PORT", .left), ("TYPE", .left), ("STATE", .left), ("PEER", .left),
            ("RX FRAMES", .right), ("RX BYTES", .right), ("TX FRAMES", .right),
            ("TX BYTES", .right), ("DROPS", .right), ("QUEUE", .right), ("SNDBUF", .right),
        ])
        for port in report.ports {
            let counters = port.counters
            table.append(
                identity(port) + [
                    HumanUnits.count(counters.receivedFrames),
                    HumanUnits.bytes(counters.receivedBytes),
                    HumanUnits.count(counters.sentFrames),
                    HumanUnits.bytes(counters.sentBytes),
                    HumanUnits.count(counters.droppedFrames),
                    queue(port), sendBuffer(port),
                ])
        }
        return table.lines
    }

    private static func rateTable(_ report: StatusReport, _ interval: Interval) -> [String] {
        var table = TextTable([
            ("PORT", .left), ("TYPE", .left), ("STATE", .left), ("PEER", .left),
            ("RX PPS", .right), ("RX RATE", .right), ("TX PPS", .right), ("TX RATE", .right),
            ("DROPS/S", .right), ("QUEUE", .right), ("SNDBUF", .right),
        ])
        for port in report.ports {
            let before = interval.earlier[port.name]?.counters ?? PortCounters()
            let now = port.counters
            let bits = { (old: UInt64, new: UInt64) in
                HumanUnits.bitRate(perSecond: interval.rate(old, new) * 8)
            }
            let frames = { (old: UInt64, new: UInt64) in
                HumanUnits.rate(perSecond: interval.rate(old, new))
            }
            table.append(
                identity(port) + [
                    frames(before.receivedFrames, now.receivedFrames),
                    bits(before.receivedBytes, now.receivedBytes),
                    frames(before.sentFrames, now.sentFrames),
                    bits(before.sentBytes, now.sentBytes),
                    frames(before.droppedFrames, now.droppedFrames),
                    queue(port), sendBuffer(port),
                ])
        }
        return table.lines
    }

    /// The time between two reports of one process, and the former counters by port.
    private struct Interval {
        let seconds: Double
        let earlier: [String: PortStatus]

        /// - Returns: `nil` when the reports are not of one process, or not one after the other.
        init?(from earlier: StatusReport, to report: StatusReport) {
            seconds = report.uptimeSeconds - earlier.uptimeSeconds
            guard earlier.pid == report.pid, seconds > 0 else { return nil }
            self.earlier = Dictionary(
                earlier.ports.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        }

        /// Events a second; a counter that went back belongs to a replaced port and starts at 0.
        func rate(_ old: UInt64, _ new: UInt64) -> Double {
            Double(new >= old ? new - old : new) / seconds
        }
    }

    // MARK: Cells

    private static func identity(_ port: PortStatus) -> [String] {
        [port.name.terminalSafe, type(port), port.state.rawValue, peer(port)]
    }

    /// Transport, and the offload where there is one.
    private static func type(_ port: PortStatus) -> String {
        (port.offload == "none" ? port.type : "\(port.type) \(port.offload)").terminalSafe
    }

    private static func peer(_ port: PortStatus) -> String {
        if let device = port.device { return device.terminalSafe }
        guard let peer = port.peer else { return "-" }
        var parts: [String] = []
        if let command = peer.command { parts.append(command.terminalSafe) }
        if let pid = peer.pid { parts.append("pid \(pid)") }
        if let uid = peer.uid { parts.append("uid \(uid)") }
        if parts.isEmpty, let address = peer.address { parts.append(address.terminalSafe) }
        // The command is what may be long; the numbers behind it are what one acts upon.
        let numbers = parts.dropFirst(peer.command == nil ? 0 : 1).joined(separator: " ")
        guard peer.command != nil, !numbers.isEmpty else {
            return parts.isEmpty ? "?" : parts.joined(separator: " ").shortened(to: peerWidth)
        }
        return parts[0].shortened(to: max(8, peerWidth - numbers.count - 1)) + " " + numbers
    }

    private static func queue(_ port: PortStatus) -> String {
        port.queue.frames == 0
            ? "0"
            : "\(HumanUnits.count(port.queue.frames)) (\(HumanUnits.bytes(port.queue.bytes)))"
    }

    private static func sendBuffer(_ port: PortStatus) -> String {
        guard let size = port.effectiveSendBuffer, size >= 0 else { return "-" }
        return HumanUnits.bytes(UInt64(size))
    }

    // MARK: Sections

    private static func sockets(_ report: StatusReport) -> [String] {
        section(
            "Waiting for a peer:",
            report.ports.compactMap { port in
                guard port.state == .listening || port.state == .connecting, let path = port.path
                else { return nil }
                let place = path.terminalSafe
                return (port.name, port.state == .listening ? place : "at \(place)")
            })
    }

    /// Drops by port, then what each reason that occurred means.
    private static func drops(_ report: StatusReport) -> [String] {
        let lines = section(
            "Frames dropped:",
            report.ports.compactMap { port in
                let reasons = port.counters.drops.filter { $0.value > 0 }
                    .sorted { ($1.value, $0.key) < ($0.value, $1.key) }
                    .map { "\($0.key.terminalSafe) \(HumanUnits.count($0.value))" }
                let device =
                    (port.deviceQueueFull ?? 0) == 0
                    ? []
                    : [
                        "before the switch: device_queue_full "
                            + HumanUnits.count(port.deviceQueueFull ?? 0)
                    ]
                let all = reasons + device
                return all.isEmpty ? nil : (port.name, all.joined(separator: ", "))
            })
        let occurred = Set(
            report.ports.flatMap { $0.counters.drops.filter { $0.value > 0 }.keys })
        return lines
            + DropReason.allCases.filter { occurred.contains($0.name) }
            .map { "  (\($0.name): \($0.summary))" }
    }

    private static func pauses(_ report: StatusReport) -> [String] {
        section(
            "Peers that had to wait for others:",
            report.ports.compactMap { port in
                guard let pause = port.pause, pause.count > 0 else { return nil }
                let times = "\(HumanUnits.count(pause.count)) time\(pause.count == 1 ? "" : "s")"
                let sum = "\(HumanUnits.duration(seconds: pause.seconds)) in all"
                return (port.name, "\(times), \(sum)\(pause.isPaused ? ", paused now" : "")")
            })
    }

    private static func errors(_ report: StatusReport) -> [String] {
        section(
            "Last errors:",
            report.ports.compactMap { port in
                port.lastError.map { (port.name, $0.terminalSafe) }
            })
    }

    private static func warnings(_ report: StatusReport) -> [String] {
        report.warnings.map { "warning: \($0.terminalSafe)" }
    }

    /// A title and indented lines of port and text, in aligned columns; nothing when there is none.
    private static func section(
        _ title: String, _ rows: [(port: String, text: String)]
    ) -> [String] {
        let names = rows.map { $0.port.terminalSafe }
        let width = names.map(\.count).max() ?? 0
        guard !rows.isEmpty else { return [] }
        return [title]
            + zip(names, rows).map { name, row in
                "  " + name + String(repeating: " ", count: width - name.count) + "  " + row.text
            }
    }
}
