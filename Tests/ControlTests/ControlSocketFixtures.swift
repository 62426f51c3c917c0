// A switch of plain values behind the control socket, reports with every field set, and places to
// put sockets. Nothing here forwards a frame.

import Foundation
import Glibc
import Logging

@testable import Control

/// Answers like a switch with the ports `vm1` and `host`, and remembers what it was asked.
actor StubSwitch: SwitchInterface {
    private(set) var flushes: [String?] = []
    private(set) var edits: [PortEdit] = []
    /// Publishes to those who follow the switch.
    nonisolated let hub = EventHub()
    private var reloadResult: Result<ReloadReport, ControlError>

    init(reload: Result<ReloadReport, ControlError> = .success(ReloadReport(unchanged: ["vm1"]))) {
        reloadResult = reload
    }

    func status() -> StatusReport { .sample() }

    func macs(port: String?) throws(ControlError) -> MACReport {
        try check(port)
        return MACReport(entries: MACReport.sample.entries.filter { $0.port == port ?? $0.port })
    }

    func flushMACs(port: String?) throws(ControlError) -> Int {
        try check(port)
        flushes.append(port)
        return 2
    }

    func reload() throws(ControlError) -> ReloadReport { try reloadResult.get() }

    func addPort(_ edit: PortEdit) throws(ControlError) -> ReloadReport {
        edits.append(edit)
        return ReloadReport(added: [edit.name])
    }

    func setPort(_ edit: PortEdit) throws(ControlError) -> ReloadReport {
        try check(edit.name)
        edits.append(edit)
        return ReloadReport(changed: [edit.name])
    }

    func removePort(_ name: String) throws(ControlError) -> ReloadReport {
        try check(name)
        return ReloadReport(removed: [name])
    }

    func runningConfiguration() -> String { "[[port]]\nname = \"vm1\"\n" }

    func events(of kinds: Set<SwitchEvent.Kind>) throws(ControlError) -> EventReader {
        try hub.open(kinds, first: .ready(name: "lan0"))
    }

    private func check(_ port: String?) throws(ControlError) {
        guard let port, !["vm1", "host", "a&b=ü/%"].contains(port) else { return }
        throw ControlError(.notFound, "no port is named \(port)")
    }
}

extension StatusReport {
    /// A report with two ports, one attached by a peer with a hostile name.
    static func sample(
        name: String = "lan0", pid: Int32 = 42, uptime: Double = 75, received: UInt64 = 1000
    ) -> StatusReport {
        let since = Date(timeIntervalSince1970: 1_700_000_000)
        var ports = [
            PortStatus(
                name: "vm1", index: 0, type: "unixgram", state: .attached, since: since,
                path: "/run/ringswitch/vm1.sock", maxFrame: 1518, effectiveSendBuffer: 4 << 20,
                peer: PeerStatus(
                    pid: 77, uid: 1000, command: "kr\u{1b}[2Jun\n", address: "/tmp/vm"),
                counters: PortCounters(
                    receivedFrames: received, receivedBytes: received * 100, sentFrames: 5,
                    sentBytes: 500, floodCopies: 3, handshakes: 1,
                    drops: ["queue_full": 10, "too_big": 2, "runt": 0]),
                queue: QueueStatus(frames: 4, bytes: 2048, highWaterBytes: 4096),
                lastError: "cannot connect back: Permission denied"),
            PortStatus(
                name: "spare", index: 1, type: "unixgram", state: .listening, since: since,
                path: "/run/ringswitch/spare.sock", maxFrame: 1518),
            PortStatus(
                name: "host", index: 2, type: "tap", offload: "vnet", state: .up, since: since,
                device: "rs0",
                maxFrame: 1518,
                counters: PortCounters(sentFrames: received - 18, sentBytes: 1)),
        ]
        ports[2].deviceQueueFull = 7
        return StatusReport(
            name: name, version: "9.8.7", pid: pid, uptimeSeconds: uptime,
            runtimeDirectory: "/run/ringswitch", configurationFile: "/etc/lan0.toml",
            workers: [WorkerStatus(index: 0, cpu: 3, turns: 12, wakeups: 4, staleCompletions: 1)],
            ports: ports, macTable: MACTableStatus(entries: 2, limit: 16384, movesDamped: 6),
            totals: TrafficTotals(of: ports),
            warnings: ["net.core.wmem_max limits vm1; sysctl -w net.core.wmem_max=4194304"])
    }
}

extension MACReport {
    static let sample = MACReport(entries: [
        Entry(mac: "52:54:00:00:00:02", port: "vm1", ageSeconds: 61),
        Entry(mac: "52:54:00:00:00:01", vlan: 7, port: "host", ageSeconds: 0, pinned: true),
    ])
}

/// Serves `service` at a new path while `body` runs, and stops in any case.
func withServer<Result>(
    _ service: any SwitchInterface = StubSwitch(),
    _ body: (ControlClient, ControlServer) async throws -> Result
) async throws -> Result {
    let directory = TemporaryDirectory()
    let server = ControlServer(
        path: directory.path + "/control.sock", service: service, logger: .quiet)
    try await server.start()
    do {
        let result = try await body(
            .patient(directory.path + "/control.sock"), server)
        await server.stop()
        return result
    } catch {
        await server.stop()
        throw error
    }
}

extension ControlClient {
    /// A client that waits for a minute: the suites beside this one may keep the threads that
    /// answer busy.
    static func patient(_ path: String) -> ControlClient {
        var client = ControlClient(socketPath: path)
        client.silenceSecondsMax = 60
        return client
    }
}

/// Runs blocking work on a thread of its own.
///
/// The cooperative pool has one thread a CPU: clients that block in it leave none to the server.
func blocking<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
            continuation.resume(with: Swift.Result { try body() })
        }
    }
}

extension Logger {
    /// A logger that writes nothing.
    static var quiet: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

/// The type of stream sockets that no program inherits.
let closingStream = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)

/// A stream socket bound to `path`, listening if asked; the caller closes it.
func makeUnixSocket(at path: String, listening: Bool) -> Int32 {
    let descriptor = socket(AF_UNIX, closingStream, 0)
    let bound = ControlSocketAddress(path: path)!.withPlainSockAddr { bind(descriptor, $0, $1) }
    precondition(descriptor >= 0 && bound == 0, "cannot bind \(path): \(errno)")
    if listening { precondition(listen(descriptor, 1) == 0) }
    return descriptor
}
