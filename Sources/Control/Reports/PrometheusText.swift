// A status report in the Prometheus text exposition format, version 0.0.4.
//
// One family a quantity: a HELP line, a TYPE line, then one sample a port, worker or reason, all
// samples of a family together as the format demands. Counters end in `_total`; units are base
// units (bytes, seconds). A switch has no label of its own: the scraper's `instance` names it,
// and `ringswitch_build_info` carries its name for joins.
// Format: https://prometheus.io/docs/instrumenting/exposition_formats/

/// Renders a status report for Prometheus.
public enum PrometheusText {
    /// Value of the Content-Type header that belongs to the text.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// The whole exposition; ends with a line break.
    public static func render(_ report: StatusReport) -> String {
        let families =
            switchFamilies(report) + portFamilies(report.ports) + queueFamilies(report.ports)
            + pauseFamilies(report.ports)
            + workerFamilies(report.workers)
        return families.map(\.text).joined()
    }

    private static func switchFamilies(_ report: StatusReport) -> [Family] {
        [
            Family(
                "ringswitch_build_info", .gauge, "Always 1; the labels tell name and version.",
                [([("switch", report.name), ("version", report.version)], "1")]),
            Family(
                "ringswitch_uptime_seconds", .gauge, "Seconds since the switch started.",
                [([], String(report.uptimeSeconds))]),
            Family(
                "ringswitch_mac_entries", .gauge, "Addresses in the MAC table.",
                [([], String(report.macTable.entries))]),
            Family(
                "ringswitch_mac_limit", .gauge, "Most addresses that are learned.",
                [([], String(report.macTable.limit))]),
            Family(
                "ringswitch_mac_moves_damped_total", .counter,
                "Moves refused because the address moved less than a second before.",
                [([], String(report.macTable.movesDamped))]),
            Family(
                "ringswitch_mac_table_full_total", .counter,
                "Addresses not learned for want of room.",
                [([], String(report.macTable.full))]),
            Family(
                "ringswitch_dropped_frames_total", .counter,
                "Frames dropped by the whole switch since it started: by its ports, by those that "
                    + "were removed, and between workers.",
                report.totals.drops.sorted { $0.key < $1.key }.map { reason, frames in
                    ([("reason", reason)], String(frames))
                }),
        ]
    }

    private static func portFamily(
        _ ports: [PortStatus], _ name: String, _ kind: Family.Kind, _ help: String,
        _ value: (PortStatus) -> UInt64?
    ) -> Family {
        Family(
            "ringswitch_port_" + name, kind, help,
            ports.compactMap { port in
                value(port).map { ([("port", port.name)], String($0)) }
            })
    }

    private static func portFamilies(_ ports: [PortStatus]) -> [Family] {
        func family(
            _ name: String, _ kind: Family.Kind, _ help: String, _ value: (PortStatus) -> UInt64?
        ) -> Family { portFamily(ports, name, kind, help, value) }
        let drops = ports.flatMap { port in
            port.counters.drops.sorted { $0.key < $1.key }.map { reason, frames in
                ([("port", port.name), ("reason", reason)], String(frames))
            }
        }
        return [
            family("up", .gauge, "1 while frames can flow, else 0.") { $0.state.isUp ? 1 : 0 },
            family("received_frames_total", .counter, "Frames received from the peer.") {
                $0.counters.receivedFrames
            },
            family("received_bytes_total", .counter, "Bytes of the frames received.") {
                $0.counters.receivedBytes
            },
            family("sent_frames_total", .counter, "Frames sent to the peer.") {
                $0.counters.sentFrames
            },
            family("sent_bytes_total", .counter, "Bytes of the frames sent.") {
                $0.counters.sentBytes
            },
            family("flood_copies_total", .counter, "Copies added by floods from this port.") {
                $0.counters.floodCopies
            },
            family(
                "segment_copies_total", .counter, "Frames added by segmentation for this port."
            ) {
                $0.counters.segmentCopies
            },
            family(
                "checksums_completed_total", .counter, "Checksums completed for this port."
            ) {
                $0.counters.checksumsCompleted
            },
            Family(
                "ringswitch_port_dropped_frames_total", .counter,
                "Frames dropped, by port and reason.", drops),
            family(
                "device_queue_full_total", .counter,
                "Frames that a TAP device dropped before the switch could read them."
            ) { $0.deviceQueueFull },
            family("handshakes_total", .counter, "Handshake datagrams seen.") {
                $0.counters.handshakes
            },
            family(
                "peer_faults_total", .counter,
                "Connections that ended because the peer broke the rules of its transport."
            ) { $0.counters.peerFaults },
        ]
    }

    private static func queueFamilies(_ ports: [PortStatus]) -> [Family] {
        func family(
            _ name: String, _ kind: Family.Kind, _ help: String, _ value: (PortStatus) -> UInt64?
        ) -> Family { portFamily(ports, name, kind, help, value) }
        return [
            family("queue_frames", .gauge, "Frames waiting in the egress queue.") {
                $0.queue.frames
            },
            family("queue_bytes", .gauge, "Bytes waiting in the egress queue.") {
                $0.queue.bytes
            },
            family("queue_high_water_bytes", .gauge, "Most bytes that ever waited.") {
                $0.queue.highWaterBytes
            },
            family("ecn_marks_total", .counter, "Frames marked in the egress queue (ECN).") {
                $0.queue.marks
            },
            family("send_buffer_bytes", .gauge, "Effective SO_SNDBUF of the port's socket.") {
                $0.effectiveSendBuffer.map { UInt64(max(0, $0)) }
            },
        ]
    }

    /// Of ports that pause alone.
    private static func pauseFamilies(_ ports: [PortStatus]) -> [Family] {
        func family(
            _ name: String, _ kind: Family.Kind, _ help: String, _ value: (PauseStatus) -> String
        ) -> Family {
            Family(
                "ringswitch_port_" + name, kind, help,
                ports.compactMap { port in port.pause.map { ([("port", port.name)], value($0)) } })
        }
        return [
            family("paused", .gauge, "1 while the peer has to wait for another port, else 0.") {
                $0.isPaused ? "1" : "0"
            },
            family("pauses_total", .counter, "Times that the peer had to wait.") { "\($0.count)" },
            family("paused_seconds_total", .counter, "Time for which it had to, pauses over.") {
                "\($0.seconds)"
            },
        ]
    }

    private static func workerFamilies(_ workers: [WorkerStatus]) -> [Family] {
        func family(_ name: String, _ help: String, _ value: (WorkerStatus) -> UInt64) -> Family {
            Family(
                "ringswitch_worker_" + name, .counter, help,
                workers.map { ([("worker", String($0.index))], String(value($0))) })
        }
        return [
            family("turns_total", "Iterations of the worker's loop.") { $0.turns },
            family("wakeups_total", "Turns that began with a wait for something to happen.") {
                $0.wakeups
            },
            family("stale_completions_total", "Completions of former connections, ignored.") {
                $0.staleCompletions
            },
        ]
    }

    /// `value` as it stands between the quotes of a label: backslash, quote and line feed escaped.
    static func labelEscaped(_ value: String) -> String {
        var escaped = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// The samples of one metric name.
    private struct Family {
        enum Kind: String { case counter, gauge }

        let name: String
        let kind: Kind
        let help: String
        let samples: [(labels: [(name: String, value: String)], value: String)]

        init(
            _ name: String, _ kind: Kind, _ help: String,
            _ samples: [(labels: [(name: String, value: String)], value: String)]
        ) {
            self.name = name
            self.kind = kind
            self.help = help
            self.samples = samples
        }

        var text: String {
            var text = "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
            for sample in samples {
                let labels = sample.labels.map { "\($0.name)=\"\(labelEscaped($0.value))\"" }
                text += name + (labels.isEmpty ? "" : "{\(labels.joined(separator: ","))}")
                text += " \(sample.value)\n"
            }
            return text
        }
    }
}
