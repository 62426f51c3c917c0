// What a worker touches of the other workers in every turn.
//
// `WorkerContext` holds the same things in arrays and objects, whose every use would count
// references. A worker resolves them once into plain pointers; the context, which the worker keeps
// alive, owns what they point to.

internal import IORing
internal import SwitchCore

/// One worker's ways to the shared words and to the other workers.
struct WorkerLinks: ~Copyable {
    let workerCount: Int
    let busyPollNanoseconds: UInt64
    let table: Published<ConnectionTable>
    let gracePeriod: GracePeriod
    let backlog: SourceBacklog
    /// Set when this worker shall end.
    let stopping: SharedFlag
    /// Set while this worker waits or is about to.
    let isWaiting: SharedFlag
    let hold: SharedHold
    private let resting: SharedHold
    private let eventWake: Unmanaged<Wake>

    private let incoming: UnsafeMutableBufferPointer<HandoverRing?>
    private let outgoing: UnsafeMutableBufferPointer<HandoverRing?>
    private let sleeping: UnsafeMutableBufferPointer<SharedFlag>
    private let wakes: UnsafeMutableBufferPointer<Unmanaged<Wake>>

    /// Resolves the links of worker `index`.
    /// - Precondition: the context outlives them.
    init(index: Int, context: WorkerContext) {
        let count = context.workerCount
        workerCount = count
        busyPollNanoseconds = context.busyPollNanoseconds
        table = context.table
        gracePeriod = context.gracePeriod
        backlog = context.backlog
        stopping = context.stopping[index]
        isWaiting = context.sleeping[index]
        hold = context.hold
        resting = context.resting[index]
        eventWake = .passUnretained(context.eventWake)
        incoming = .allocate(capacity: count)
        outgoing = .allocate(capacity: count)
        sleeping = .allocate(capacity: count)
        wakes = .allocate(capacity: count)
        for worker in 0..<count {
            incoming.initializeElement(at: worker, to: context.handover(from: worker, to: index))
            outgoing.initializeElement(at: worker, to: context.handover(from: index, to: worker))
            sleeping.initializeElement(at: worker, to: context.sleeping[worker])
            wakes.initializeElement(at: worker, to: .passUnretained(context.wakes[worker]))
        }
    }

    deinit {
        incoming.deallocate()
        outgoing.deallocate()
        sleeping.deallocate()
        wakes.deallocate()
    }

    /// The ring of frames from `worker`; nil from the worker itself.
    func ring(from worker: Int) -> HandoverRing? { incoming[worker] }

    /// The ring of frames to `worker`; nil to the worker itself.
    func ring(to worker: Int) -> HandoverRing? { outgoing[worker] }

    /// Tells Control, once, that this worker has come to rest at this hold.
    func noteResting(at hold: Hold) {
        guard resting.level != hold else { return }
        resting.level = hold
        eventWake._withUnsafeGuaranteedRef { $0.signal() }
    }

    /// Wakes `worker` if it waits or is about to.
    func wakeIfSleeping(_ worker: Int) {
        guard sleeping[worker].isSet else { return }
        wakes[worker]._withUnsafeGuaranteedRef { $0.signal() }
    }
}
