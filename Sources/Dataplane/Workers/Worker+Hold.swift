// How a data plane comes to rest with its peers attached, for a successor to take them over.
//
//     moving --receiving--> forwards what it has, takes nothing new --all--> stands still
//       ^------------------------------- none ------------------------------------'
//
// First receives end: each worker cancels what it has armed and forwards what came until then; what
// peers send from then on stays in the kernel. Control waits until every worker is at rest and has
// taken what others handed over to it, and a moment longer for queues to empty. Then sends end as
// well. Now nothing of the data plane changes any more, and Control may read what waits in queues.
// `none` arms the receives again, as if nothing had been.
//
// Control stores the level and publishes a table, which wakes the workers and makes them look.
// While there is a level, Control attaches and detaches nobody.
//
// Memory ordering: a worker stores the level at which it rests with release at the end of a turn,
// Control loads it with acquire and then reads queues. It is the level, and no flag, as a worker
// may just be ending a turn at the level before. Control stores the level before it publishes the
// table with release, the worker loads it after the table with acquire.

internal import CShimsSystem
internal import Glibc
internal import IORing
public import SwitchCore
internal import Synchronization

/// What the workers leave undone.
public enum Hold: UInt8, Sendable {
    /// Nothing: the switch forwards.
    case none
    /// They receive nothing.
    case receiving
    /// They send nothing either.
    case all
}

/// A frame that waits for its egress port.
public struct WaitingFrame: Sendable, Equatable {
    /// When it came, nanoseconds of the monotonic clock.
    public var time: UInt64
    /// The port by which it came in.
    public var ingress: PortID
    /// The frame, behind its virtio header where the egress port has one.
    public var bytes: [UInt8]

    /// Describes a frame that waits.
    public init(time: UInt64, ingress: PortID, bytes: [UInt8]) {
        self.time = time
        self.ingress = ingress
        self.bytes = bytes
    }
}

extension Worker where Backend: ~Copyable {
    /// Goes over to the level that Control asks for.
    mutating func followHold() {
        let wanted = links.hold.level
        guard wanted != hold else { return }
        let former = hold
        hold = wanted
        if former == .none { setDevicesAside() }
        guard wanted == .none else { return }
        for position in 0..<connections.count {
            guard let connection = connections[position] else { continue }
            // A stream may have frames that were received and not yet forwarded.
            if connection.pointee.stream == nil {
                listForArming(connection)
            } else {
                listReadable(connection)
            }
        }
    }

    /// Devices that had something to read are asked again when receiving goes on.
    private mutating func setDevicesAside() {
        while readable.count > 0 {
            readable[readable.count - 1].pointee.isListedReadable = false
            readable.remove(at: readable.count - 1)
        }
    }

    /// Cancels what is armed, and says so once nothing is.
    @inline(never)
    mutating func rest() {
        var isQuiet = true
        for position in 0..<connections.count {
            guard let connection = connections[position], connection.pointee.isOpen else {
                continue
            }
            let isArmed = connection.pointee.receiveArmed || connection.pointee.pollArmed
            if isArmed, !connection.pointee.cancelPending {
                let isStaged = backend.cancelAll(
                    slot: UInt32(position), tag: tag(CompletionKind.cancel, connection))
                connection.pointee.cancelPending = isStaged
                if !isStaged { hasUnfinishedRequests = true }
            }
            if connection.pointee.hasOutstandingRequests { isQuiet = false }
        }
        if isQuiet, readable.count == 0 { links.noteResting(at: hold) }
    }
}

extension DataPlane {
    /// Has every worker go over to this level; `isAtRest` tells when all have.
    public func hold(_ level: Hold) {
        for worker in context.resting { worker.level = .none }
        context.hold.level = level
        publish()
    }

    /// Whether every worker has nothing left in the kernel since the last call of `hold`.
    ///
    /// `eventDescriptor` is signalled when one has.
    public var isAtRest: Bool {
        let level = context.hold.level
        return context.resting.allSatisfy { $0.level == level }
    }

    /// Frames on their way from one worker to another. Exact while receiving is held and the
    /// workers are at rest.
    public var crossingFrames: UInt64 {
        var sum: UInt64 = 0
        for worker in 0..<settings.workers {
            let block = counters.workerBlock(worker)
            sum &+= block[.handedOver] &- block[.takenOver]
        }
        return sum
    }

    /// Frames that wait for the peer of a port, those first that came first, up to so many bytes.
    /// - Returns: also how many more there are.
    /// - Precondition: everything is held, and the workers are at rest.
    public func waitingFrames(
        of port: PortID, bytesMax: Int
    ) -> (frames: [WaitingFrame], omitted: Int) {
        precondition(context.hold.level == .all && isAtRest, "a queue is read while it moves")
        guard let connection = connection(of: port) else { return ([], 0) }
        var (frames, omitted, bytes): ([WaitingFrame], Int, Int) = ([], 0, 0)
        connection.pointee.queue.visit { frame in
            bytes += frame.bytes.count
            if bytes <= bytesMax { frames.append(frame) } else { omitted += 1 }
        }
        return (frames, omitted)
    }
}
