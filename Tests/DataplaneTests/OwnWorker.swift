// A worker over a real ring that takes its turns on the calling thread.

import CShimsSystem
import Glibc
import IORing
import SwitchCore
import Testing

@testable import Dataplane

/// One worker over a real ring, whose turns and tables are the calling thread's own, so that it can
/// look at the memory of connections after their retirement.
final class OwnWorker<Backend: WorkerBackend & ~Copyable> {
    private let context: WorkerContext
    private let worker: UnsafeMutablePointer<Worker<Backend>>
    private var entries: [PortEntry]
    private var version: UInt64 = 0
    private(set) var ends: [Int32]
    private var connections: [UnsafeMutablePointer<Connection>?]
    private var poisoned: [UnsafeMutablePointer<Connection>] = []
    private var retired: Set<UInt32> = []
    private var generation: UInt32 = 0

    /// - Parameter makeBackend: makes the backend on this thread, which owns it from then on.
    init(ports: Int, makeBackend: (Wake) throws(RingError) -> Backend) throws {
        context = try WorkerContext(
            workerCount: 1, portCapacity: ports,
            macTable: MACTable(limit: 64, portCapacity: ports, ageingTicks: 300, seed: 1),
            handoverBytes: 4096, eventWake: try Wake())
        worker = .allocate(capacity: 1)
        worker.initialize(
            to: Worker(
                index: 0, context: context,
                backend: try makeBackend(context.wakes[0])))
        context.gracePeriod.online(0)
        entries = Array(repeating: PortEntry(), count: ports)
        ends = Array(repeating: -1, count: ports)
        connections = Array(repeating: nil, count: ports)
    }

    /// Looks at the backend.
    func look<Result>(_ body: (borrowing Backend) -> Result) -> Result {
        body(worker.pointee.backend)
    }

    func turn() {
        // A call to itself, so that no turn waits.
        context.wakes[0].signal()
        worker.pointee.turn()
        context.events[0].drain { if $0.kind == .retired { retired.insert($0.generation) } }
    }

    private func publish() {
        version += 1
        // The table is read on this thread only, so the old one goes at once.
        context.table.publish(ConnectionTable(version: version, entries: entries)).reclaim()
    }

    func attach(
        _ port: Int, offload: Offload = .none, frameLengthMax: Int = 1518, sendBuffer: Int32? = nil
    ) throws {
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        try #require(socketpair(AF_UNIX, type, 0, &pair) == 0)
        if var size = sendBuffer {
            for descriptor in pair { setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, 4) }
        }
        generation += 1
        let connection = UnsafeMutablePointer<Connection>.allocate(capacity: 1)
        connection.initialize(
            to: try Connection(
                ConnectionSettings(
                    port: PortID(index: port), transport: .unixgram, descriptor: pair[0],
                    frameLengthMax: frameLengthMax, offload: offload, queueBytes: 1 << 16,
                    queueDelayNanoseconds: 5_000_000),
                generation: generation, counters: context.counters.block(port: PortID(index: port)))
        )
        connections[port] = connection
        ends[port] = pair[1]
        entries[port] = PortEntry(
            generation: generation, isAttached: true, maxFrame: Int32(frameLengthMax),
            offload: offload, attachment: UInt(bitPattern: connection))
        publish()
        turn()
    }

    /// Detaches a port and fills its pool as soon as the worker lets go of it.
    /// - Returns: how many of the pools that are let go of now had been written to.
    func detachAndPoison(_ port: Int) -> Int {
        guard let connection = connections[port] else { return 0 }
        let descriptor = connection.pointee.descriptor
        entries[port] = PortEntry(generation: connection.pointee.generation)
        publish()
        while !retired.contains(connection.pointee.generation) { turn() }
        connection.pointee.buffers.poison()
        // Frames are still in the socket: with a receive left armed they would be written.
        turn()
        close(ends[port])
        close(descriptor)
        connections[port] = nil
        poisoned.append(connection)
        return poisoned.count < 16 ? 0 : releaseAll()
    }

    /// Frees the connections let go of; returns how many of their pools had been written to.
    func releaseAll() -> Int {
        var damaged = 0
        for connection in poisoned {
            if !connection.pointee.buffers.isPoisonIntact() { damaged += 1 }
            connection.deinitialize(count: 1)
            connection.deallocate()
        }
        poisoned = []
        return damaged
    }

    func stop() {
        for port in connections.indices where connections[port] != nil { _ = detachAndPoison(port) }
        _ = releaseAll()
        context.gracePeriod.offline(0)
        worker.deinitialize(count: 1)
        worker.deallocate()
        context.deallocate()
    }
}
