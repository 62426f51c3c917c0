// What most tests of traffic do with a switch: machines on its ports, and its books at the end.

import Control
import Foundation
import Testing

extension SwitchProcess {
    /// A configuration of `unixgram` ports with these names, and these further keys for each.
    static func ports(_ names: [String], _ keys: String = "", switchKeys: String = "") -> String {
        "[switch]\n\(switchKeys)\n[port_defaults]\ntype = \"unixgram\"\n\(keys)\n"
            + names.map { "[[port]]\nname = \"\($0)\"\n" }.joined()
    }

    /// The words of a load generator's machine on the port `port`.
    /// - Parameter number: the last part of its address, see `mac`.
    func endpoint(_ port: String, _ number: Int, _ more: String = "") -> String {
        "name=\(port) port=\(socket(port + ".sock")) own=\(socket("machine-\(port).sock")) "
            + "mac=\(Self.mac(number)) magic=yes \(more)"
    }

    /// The address of the machine `number`, 0...255.
    static func mac(_ number: Int) -> String { "02:00:00:00:00:" + String(format: "%02x", number) }

    /// A peer in this process on the port `port`, under a path of its own.
    func peer(
        _ port: String, _ number: Int, _ manner: Peer.Manner = .libkrun, greets: Bool = true
    ) throws -> Peer {
        try Peer(
            manner, mac: Self.mac(number), own: socket("peer-\(port)-\(number).sock"),
            port: socket(port + ".sock"), greets: greets)
    }

    /// A configured port of a type.
    static func port(_ name: String, _ type: String, _ keys: String = "") -> String {
        "[[port]]\nname = \"\(name)\"\ntype = \"\(type)\"\n\(keys)\n"
    }

    /// A machine on the port `port`, whose socket has connections.
    func streamPeer(
        _ port: String, _ number: Int, _ framing: StreamPeer.Framing = .stream
    ) throws -> StreamPeer {
        try StreamPeer(framing, mac: Self.mac(number), port: socket(port + ".sock"))
    }

    /// Waits until a peer has sent so many frames more.
    func waitUntilSent(_ count: UInt64, by peer: Peer) async throws {
        let goal = peer.sentFrames + count
        try await waitUntil("\(peer.mac) sends on") { _ in peer.sentFrames >= goal }
    }

    /// Waits until these ports, or all of them, are attached.
    @discardableResult
    func allAttached(_ names: [String] = []) async throws -> StatusReport {
        try await waitUntil("\(names) are attached") { report in
            report.ports.allSatisfy { port in
                port.state.isUp || !(names.isEmpty || names.contains(port.name))
            }
        }
    }

    /// Demands exact books once traffic rests: the switch received what was sent, sent what was
    /// received, and has a name for every frame in between.
    /// - Parameters:
    ///   - sent: datagrams that the kernel took from all machines, magic left out.
    ///   - received: datagrams that all machines read; `nil` where some could not read any more.
    @discardableResult
    func expectExactBooks(
        sent: UInt64? = nil, received: UInt64? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> StatusReport {
        let report: StatusReport
        do {
            report = try await waitUntil("the books balance") { report in
                let totals = report.totals
                return totals.unaccountedFrames == 0 && totals.queuedFrames == 0
                    && totals.receivedFrames == sent ?? totals.receivedFrames
                    && totals.sentFrames == received ?? totals.sentFrames
            }
        } catch {
            report = try await status()
        }
        let totals = report.totals
        #expect(
            totals.unaccountedFrames == 0 && totals.queuedFrames == 0, "\(totals)",
            sourceLocation: sourceLocation)
        if let sent {
            #expect(totals.receivedFrames == sent, "\(totals)", sourceLocation: sourceLocation)
        }
        if let received {
            #expect(totals.sentFrames == received, "\(totals)", sourceLocation: sourceLocation)
        }
        return report
    }

    /// Resident memory of the switch in KiB.
    func residentKilobytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(process.pid)/status", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(line.split(separator: " ").compactMap { Int($0) }.first)
    }
}

extension StatusReport {
    /// The port `name`.
    func port(_ name: String) throws -> PortStatus {
        try #require(ports.first { $0.name == name })
    }
}

extension PortStatus {
    /// Frames that this port dropped for a reason.
    func drops(_ reason: String) -> UInt64 { counters.drops[reason] ?? 0 }
}
