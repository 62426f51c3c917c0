import Foundation

/// What a run of `attach` did, printed when it ends.
struct AttachReport: Codable, Equatable, Sendable {
    /// From the namespace to the switch; drops are `not_joined` (no switch) and `refused`.
    var toSwitch: CopierCounters.Snapshot
    /// From the switch to the namespace.
    var fromSwitch: CopierCounters.Snapshot
    /// Frames that the namespace sent faster than they could be taken away.
    var deviceQueueFull: UInt64
    /// How often the port was joined; more than once if the switch was gone meanwhile.
    var joins: UInt64
    /// SO_SNDBUF that the kernel granted, in bytes.
    var effectiveSendBuffer: Int64

    /// One line of JSON with snake_case keys.
    func json() throws -> String {
        String(decoding: try ReportJSON.encode(self, layout: .line), as: UTF8.self)
    }

    /// Lines for people.
    var text: String {
        func line(_ title: String, _ counters: CopierCounters.Snapshot) -> String {
            var line = "\(title) \(counters.frames) frames, \(counters.bytes) bytes"
            if counters.dropped > 0 {
                line += "; dropped \(counters.dropped) (not joined \(counters.droppedNotJoined), "
                line += "refused \(counters.droppedRefused), "
                line += "oversize \(counters.droppedOversize))"
            }
            return line
        }
        var lines = [line("to the switch  ", toSwitch), line("from the switch", fromSwitch)]
        if deviceQueueFull > 0 {
            lines.append("device queue full: \(deviceQueueFull) frames dropped")
        }
        if joins > 1 { lines.append("joined \(joins) times") }
        return lines.joined(separator: "\n")
    }
}
