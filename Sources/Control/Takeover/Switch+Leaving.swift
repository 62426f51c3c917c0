// What a switch does to be taken over: it comes to rest, writes down what it knows, and goes on if
// nothing comes of it.
//
//     moving --comeToRest--> at rest --state, descriptors--> (the successor forwards)
//        ^----------------------- goOn ------------'
//
// At rest no frame is in the switch but those that wait in egress queues, which go along: peers'
// frames stay in their sockets, where the successor finds them. All is bounded: a worker that does
// not come to rest has the takeover refused.

internal import Dataplane
internal import Dispatch
internal import Foundation
internal import Logging
internal import SwitchCore

extension Switch {
    /// How long ports may take that are just getting or losing a peer, and workers to end receives.
    private static let restPatience = Duration.seconds(1)
    /// How long egress queues have to empty; what still waits then goes along.
    private static let queuePatience = Duration.milliseconds(2)
    /// Bytes of waiting frames that go along in all.
    private static let frameBytesMax = 16 << 20

    /// Lets everything rest; nobody else changes anything meanwhile.
    /// - Throws: `conflict`, and goes on as before.
    func comeToRest() async throws(ControlError) {
        let deadline = ContinuousClock.now + Self.restPatience
        while let end = reloadEnd { await end.wait() }
        try beginChange()
        while ports.contains(where: \.isInTransit), ContinuousClock.now < deadline {
            await pause()
        }
        for port in ports { port.suspend() }
        heldEvents = []
        dataPlane.hold(.receiving)
        while !isForwarded, ContinuousClock.now < deadline { await pause() }
        let queueDeadline = min(deadline, .now + Self.queuePatience)
        while waitingFrameCount > 0, ContinuousClock.now < queueDeadline { await pause() }
        let isAtRest = isForwarded && !ports.contains(where: \.isInTransit)
        dataPlane.hold(.all)
        while !dataPlane.isAtRest, ContinuousClock.now < deadline { await pause() }
        guard isAtRest, dataPlane.isAtRest else {
            goOn()
            throw ControlError(.conflict, "the switch does not come to rest; try again")
        }
    }

    /// Goes on as if nothing had been.
    func goOn() {
        dataPlane.hold(.none)
        let events = heldEvents ?? []
        heldEvents = nil
        for port in ports { port.resume() }
        for event in events { slots[event.port.index]?.handle(event) }
        stateChanged()
        endChange()
    }

    private var isForwarded: Bool { dataPlane.isAtRest && dataPlane.crossingFrames == 0 }

    private var waitingFrameCount: UInt64 {
        ports.reduce(0) { $0 + dataPlane.counters.snapshot(port: $1.id)[.queuedFrames] }
    }

    /// A grace period and the rest of a worker are a matter of microseconds.
    func pause() async {
        await withCheckedContinuation { (resume: CheckedContinuation<Void, Never>) in
            ControlActor.queue.asyncAfter(deadline: .now() + .microseconds(100)) {
                resume.resume()
            }
        }
        drainEvents()
    }

    // MARK: Writing down

    /// All that a successor needs, at rest.
    func fullState() -> (full: FullState, kept: [KeptDescriptor]) {
        var (state, kept) = describeState()
        var frames: [FrameRecord] = []
        var streams: [StreamRecord] = []
        var bytesLeft = Self.frameBytesMax
        for position in state.ports.indices {
            let port = PortID(index: state.ports[position].index)
            let (waiting, omitted) = dataPlane.waitingFrames(of: port, bytesMax: bytesLeft)
            state.ports[position].omittedFrames = omitted
            if let position = dataPlane.streamPosition(of: port) {
                streams.append(StreamRecord(portIndex: port.rawValue, position: position))
            }
            for frame in waiting {
                bytesLeft -= frame.bytes.count
                frames.append(
                    FrameRecord(
                        egressIndex: port.rawValue, ingressIndex: frame.ingress.rawValue,
                        time: frame.time, bytes: frame.bytes))
            }
        }
        let stations = dataPlane.macTable.entries(now: tick).map { entry in
            StationRecord(
                address: entry.address, vlan: entry.vlan, portIndex: entry.port.rawValue,
                ageTicks: entry.ageTicks)
        }
        return (
            FullState(state: state, stations: stations, frames: frames, streams: streams), kept
        )
    }

    /// The document, and the descriptors that it speaks of.
    func describeState() -> (state: SwitchState, kept: [KeptDescriptor]) {
        var kept: [KeptDescriptor] = []
        var rest = SwitchState.CounterState(dataPlane.counters.snapshot())
        let states = ports.map { port in
            let base = baselines[port.id] ?? CounterSnapshot()
            var state = SwitchState.PortState(
                name: port.configuration.name, index: port.id.index, stage: .closed, since: .init(),
                counters: SwitchState.CounterState(
                    dataPlane.counters.snapshot(port: port.id), since: base),
                baseline: SwitchState.CounterState(base))
            port.describe(into: &state, &kept)
            rest.subtract(state.counters)
            return state
        }
        var state = SwitchState(
            configuration: configuration.essentials(), ports: states, rest: rest,
            workers: workerCounters())
        state.descriptorNames = kept.map(\.name)
        state.transientPorts = transientPorts.sorted()
        return (state, kept)
    }

    private func workerCounters() -> [SwitchState.CounterState] {
        workerReports().map { worker in
            SwitchState.CounterState { counter in
                switch counter {
                case .turns: worker.turns
                case .wakeups: worker.wakeups
                default: worker.staleCompletions
                }
            }
        }
    }
}
