// What the workers of a switch share with each other and with Control.

internal import IORing
internal import SwitchCore
internal import Synchronization

/// A word with a cache line of its own.
///
/// A handle: copies mean the same word. Whoever made it calls `deallocate()` last.
///
/// Thread-safety: the word is atomic and the memory lives until `deallocate()`, which is the
/// argument for `@unchecked Sendable`.
struct SharedFlag: @unchecked Sendable {
    private let memory: UnsafeMutablePointer<Atomic<UInt32>>

    init() {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        memory = raw.bindMemory(to: Atomic<UInt32>.self, capacity: 1)
        memory.initialize(to: Atomic(0))
    }

    func deallocate() { UnsafeMutableRawPointer(memory).deallocate() }

    func store(_ value: Bool) { memory.pointee.store(value ? 1 : 0, ordering: .releasing) }
    var isSet: Bool { memory.pointee.load(ordering: .acquiring) != 0 }
}

/// What a worker leaves undone, or is to, a word with a cache line of its own.
///
/// A handle, as `SharedFlag` is, and `@unchecked Sendable` for the same reason.
struct SharedHold: @unchecked Sendable {
    private let memory: UnsafeMutablePointer<Atomic<UInt8>>

    init() {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        memory = raw.bindMemory(to: Atomic<UInt8>.self, capacity: 1)
        memory.initialize(to: Atomic(Hold.none.rawValue))
    }

    func deallocate() { UnsafeMutableRawPointer(memory).deallocate() }

    var level: Hold {
        get { Hold(rawValue: memory.pointee.load(ordering: .acquiring)) ?? .none }
        nonmutating set { memory.pointee.store(newValue.rawValue, ordering: .releasing) }
    }
}

/// The shared words of a switch. Everything in it is immutable or synchronises itself.
final class WorkerContext: Sendable {
    let workerCount: Int
    let portCapacity: Int
    /// How long a worker looks for work before it sleeps.
    let busyPollNanoseconds: UInt64
    let table: Published<ConnectionTable>
    let gracePeriod: GracePeriod
    let macTable: MACTable
    let floodMeters: FloodMeters
    let counters: CounterTable
    let backlog: SourceBacklog
    /// Wakes a worker out of its wait.
    let wakes: [Wake]
    /// Set while a worker waits or is about to; who hands something over wakes it then.
    let sleeping: [SharedFlag]
    let stopping: [SharedFlag]
    let hold = SharedHold()
    /// The hold at which a worker has nothing left in the kernel; `none` until it has.
    let resting: [SharedHold]
    /// Has Control look.
    let eventWake: Wake
    let events: [EventQueue]
    /// Index `from * workerCount + to`; nil on the diagonal.
    let handovers: [HandoverRing?]

    init(
        workerCount: Int, portCapacity: Int, busyPollNanoseconds: UInt64 = 0, macTable: MACTable,
        handoverBytes: Int, eventWake: Wake, counterMemory: UnsafeMutableRawPointer? = nil
    ) throws(RingError) {
        self.workerCount = workerCount
        self.portCapacity = portCapacity
        self.busyPollNanoseconds = busyPollNanoseconds
        self.macTable = macTable
        floodMeters = FloodMeters(portCapacity: portCapacity)
        table = Published(ConnectionTable(version: 0, entries: []))
        gracePeriod = GracePeriod(workerCount: workerCount)
        counters = CounterTable(
            portCapacity: portCapacity, workerCount: workerCount, memory: counterMemory)
        backlog = SourceBacklog(workerCount: workerCount, portCapacity: portCapacity)
        var wakes: [Wake] = []
        for _ in 0..<workerCount { wakes.append(try Wake()) }
        self.wakes = wakes
        sleeping = (0..<workerCount).map { _ in SharedFlag() }
        stopping = (0..<workerCount).map { _ in SharedFlag() }
        resting = (0..<workerCount).map { _ in SharedHold() }
        self.eventWake = eventWake
        events = (0..<workerCount).map { _ in
            EventQueue(capacity: 4 * portCapacity, wake: eventWake)
        }
        handovers = (0..<workerCount * workerCount).map { pair in
            pair / workerCount == pair % workerCount ? nil : HandoverRing(capacity: handoverBytes)
        }
    }

    /// Frees the shared memory. Nobody may use the context, counters or MAC table afterwards.
    func deallocate() {
        table.deallocate()
        gracePeriod.deallocate()
        counters.deallocate()
        backlog.deallocate()
        macTable.deallocate()
        floodMeters.deallocate()
        for flag in sleeping + stopping { flag.deallocate() }
        for hold in resting + [hold] { hold.deallocate() }
        for case let ring? in handovers { ring.deallocate() }
    }

    func handover(from: Int, to: Int) -> HandoverRing? { handovers[from * workerCount + to] }
}
