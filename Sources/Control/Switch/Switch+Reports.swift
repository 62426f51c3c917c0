// What the switch says about itself.

internal import Dataplane
internal import Dispatch
internal import Foundation
internal import Glibc
internal import Logging
internal import SwitchCore
internal import Synchronization

extension Switch {
    /// See `SwitchInterface`.
    public func status() async -> StatusReport {
        let counters = dataPlane.counters
        return StatusReport(
            name: configuration.name, version: Version.current, pid: getpid(),
            uptimeSeconds: Double(DispatchTime.now().uptimeNanoseconds - startedAt) / 1e9,
            runtimeDirectory: configuration.runtimeDirectory, configurationFile: configurationFile,
            workers: workerReports(), ports: ports.map(report), macTable: macTableReport(),
            totals: totals(counters.snapshot()), warnings: warnings())
    }

    /// See `SwitchInterface`.
    public func macs(port name: String?) async throws(ControlError) -> MACReport {
        let only = try portID(named: name)
        let names = Dictionary(
            ports.map { ($0.id, $0.configuration.name) }, uniquingKeysWith: { first, _ in first })
        let entries = dataPlane.macTable.entries(now: tick)
            .filter { only == nil || $0.port == only }
            .map { entry in
                MACReport.Entry(
                    mac: entry.address.description, vlan: Int(entry.vlan),
                    port: names[entry.port] ?? "?", ageSeconds: Int(entry.ageTicks),
                    pinned: entry.isPinned)
            }
        return MACReport(entries: entries)
    }

    /// See `SwitchInterface`.
    public func flushMACs(port name: String?) async throws(ControlError) -> Int {
        let table = dataPlane.macTable
        guard let port = try portID(named: name) else {
            let count = table.total
            table.flushAll()
            return count
        }
        let count = table.count(of: port)
        table.flush(port: port)
        return count
    }

    /// Seconds of the monotonic clock, as the workers count the age of MAC entries.
    var tick: UInt32 {
        UInt32(truncatingIfNeeded: DispatchTime.now().uptimeNanoseconds / 1_000_000_000)
    }

    private func portID(named name: String?) throws(ControlError) -> PortID? {
        guard let name else { return nil }
        guard let port = port(named: name) else {
            throw ControlError(.notFound, "there is no port \"\(name)\"")
        }
        return port.id
    }

    func workerReports() -> [WorkerStatus] {
        (0..<configuration.workers).map { index in
            let block = dataPlane.counters.workerBlock(index)
            let base = workerBase.indices.contains(index) ? workerBase[index].counters : [:]
            func sum(_ counter: Counter) -> UInt64 {
                block[counter] &+ base[counter.name, default: 0]
            }
            return WorkerStatus(
                index: index, cpu: configuration.cpus.isEmpty ? nil : configuration.cpus[index],
                turns: sum(.turns), wakeups: sum(.wakeups),
                staleCompletions: sum(.staleCompletions))
        }
    }

    private func macTableReport() -> MACTableStatus {
        let sum = dataPlane.counters.snapshot()
        return MACTableStatus(
            entries: dataPlane.macTable.total, limit: configuration.macLimit,
            movesDamped: sum[.macMovesDamped], full: sum[.macTableFull])
    }

    func report(_ port: any ManagedPort) -> PortStatus {
        let sum = dataPlane.counters.snapshot(port: port.id)
        let base = baselines[port.id] ?? CounterSnapshot()
        func since(_ counter: Counter) -> UInt64 { sum[counter] &- base[counter] }
        var drops: [String: UInt64] = [:]
        for reason in DropReason.allCases where sum[dropped: reason] != base[dropped: reason] {
            drops[reason.name] = sum[dropped: reason] &- base[dropped: reason]
        }
        var status = PortStatus(
            name: port.configuration.name, index: port.id.index,
            type: port.configuration.type.rawValue, offload: port.configuration.offload.word,
            state: .failed, since: Date(), worker: dataPlane.worker(of: port.id),
            maxFrame: port.configuration.maxFrame,
            counters: PortCounters(
                receivedFrames: since(.receivedFrames), receivedBytes: since(.receivedBytes),
                sentFrames: since(.sentFrames), sentBytes: since(.sentBytes),
                floodCopies: since(.floodCopies), segmentCopies: since(.segmentCopies),
                checksumsCompleted: since(.checksumsCompleted), handshakes: since(.handshakes),
                peerFaults: since(.peerFaults), drops: drops),
            queue: QueueStatus(
                frames: sum[.queuedFrames], bytes: sum[.queuedBytes],
                highWaterBytes: sum[.queueHighWaterBytes],
                order: port.configuration.queue.rawValue, marks: since(.ecnMarks)),
            pause: port.configuration.pausesOnCongestion
                ? PauseStatus(
                    isPaused: sum[.pausedPorts] > 0, count: since(.pauses),
                    seconds: Double(since(.pausedNanoseconds)) / 1e9) : nil)
        port.describe(into: &status)
        if status.effectiveSendBuffer != nil, sum[.sendBufferBytes] > 0 {
            status.effectiveSendBuffer = Int(sum[.sendBufferBytes])
        }
        return status
    }

    private func totals(_ sum: CounterSnapshot) -> TrafficTotals {
        var drops: [String: UInt64] = [:]
        for reason in DropReason.allCases where sum[dropped: reason] > 0 {
            drops[reason.name] = sum[dropped: reason]
        }
        return TrafficTotals(
            receivedFrames: sum[.receivedFrames], receivedBytes: sum[.receivedBytes],
            sentFrames: sum[.sentFrames], sentBytes: sum[.sentBytes],
            floodCopies: sum[.floodCopies], segmentCopies: sum[.segmentCopies],
            queuedFrames: sum.waiting, drops: drops)
    }

    /// Each sentence once, however many ports it concerns.
    private func warnings() -> [String] {
        var sentences: [String] = []
        for port in ports {
            for sentence in port.warnings where !sentences.contains(sentence) {
                sentences.append(sentence)
            }
        }
        return sentences
    }
}
