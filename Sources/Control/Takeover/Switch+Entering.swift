// What a switch does with what a predecessor has left: it makes the same ports, gives them their
// sockets, peers and frames, and forwards. What its own configuration wants otherwise it becomes
// afterwards, as by a reload.

internal import Dataplane
internal import Logging
internal import SwitchCore

extension Switch {
    /// How long the workers may take to forward for every peer.
    private static let enterPatience = Duration.seconds(2)

    /// Begins with the ports of a predecessor, instead of `open`; nothing moves before `forward`.
    ///
    /// - Precondition: `configuration` has the ports that the state was written with.
    /// - Throws: when the data plane does not take the peers; nothing of the predecessor's has been
    ///   changed then.
    /// - Parameter isWhole: fails rather than do without one of the peers and devices.
    /// - Returns: the ports of which the predecessor knew nothing.
    func enter(
        _ full: FullState, _ descriptors: consuming StateDescriptors, isWhole: Bool = false
    ) async throws(SwitchError) -> [any ManagedPort] {
        begin()
        transientPorts = Set(full.state.transientPorts)
        let states = Dictionary(
            full.state.ports.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var successors: [Int: any ManagedPort] = [:]
        for settings in configuration.ports {
            let port = make(settings)
            add(port)
            if let state = states[settings.name] { successors[state.index] = port }
        }
        inheritCounters(of: full.state, states)
        let waiting = waitingFrames(full.frames, successors.mapValues(\.id))
        // Stations first, and nobody is heard before everybody is there: no frame has to be
        // flooded, and none finds its receiver missing. Nor is anything sent that the predecessor
        // would send again if it had to go on.
        learn(full.stations, successors)
        dataPlane.hold(.all)
        let positions = Dictionary(
            full.streams.map { (Int($0.portIndex), $0.position) },
            uniquingKeysWith: { first, _ in first })
        for port in ports {
            guard let state = states[port.configuration.name] else { continue }
            port.adoptSockets(state, &descriptors)
        }
        for port in ports {
            guard let state = states[port.configuration.name] else { continue }
            let came = waiting[port.id] ?? []
            // Whoever has to come back is not waited for.
            let frames = state.stage == .closed ? [] : came
            count(
                port.id, dropped: .portRemoved,
                UInt64(state.omittedFrames + came.count - frames.count))
            port.restore(
                PortEstate(
                    state: state, waiting: frames, position: positions[state.index]),
                &descriptors)
        }
        // Whoever comes now is left to the predecessor, should it have to go on.
        for port in ports { port.suspend() }
        let deadline = ContinuousClock.now + Self.enterPatience
        while ports.contains(where: \.isInTransit) {
            guard ContinuousClock.now < deadline else {
                throw SwitchError("the workers do not take over the ports")
            }
            await pause()
        }
        if isWhole { try checkWhole(states) }
        return ports.filter { states[$0.configuration.name] == nil }
    }

    /// Forwards from now on.
    /// - Parameter missing: ports to be opened; what fails is tried again later.
    func forward(opening missing: [any ManagedPort]) async {
        dataPlane.hold(.none)
        for port in ports { port.resume() }
        await streamListeners.closeUnused()
        for port in missing { Task { await openPatiently(port) } }
    }

    private func openPatiently(_ port: any ManagedPort) async {
        while !isClosing, ports.contains(where: { $0 === port }) {
            do throws(PortError) {
                return try port.open()
            } catch {
                logger.error(
                    "port not opened",
                    metadata: [
                        "port": "\(port.configuration.name)", "reason": "\(error)",
                    ])
            }
            try? await Task.sleep(for: .seconds(2))
        }
    }

    private func checkWhole(_ states: [String: SwitchState.PortState]) throws(SwitchError) {
        for port in ports where states[port.configuration.name]?.stage == .attached {
            guard port.isServing else {
                throw SwitchError("port \(port.configuration.name) is not taken over")
            }
        }
    }

    private func inheritCounters(
        of state: SwitchState, _ states: [String: SwitchState.PortState]
    ) {
        for port in ports {
            states[port.configuration.name]?.counters
                .add(to: dataPlane.counters.controlBlock(port: port.id))
        }
        // The last index is the last to be given to a port; whatever it has collected then belongs
        // to the switch alone, as with any index that had a port before.
        let last = PortID(index: Configuration.portLimit - 1)
        state.rest.add(to: dataPlane.counters.controlBlock(port: last))
        baselines[last] = dataPlane.counters.snapshot(port: last)
        workerBase = state.workers
    }

    /// The frames that wait, by the port that they wait for here.
    private func waitingFrames(
        _ frames: [FrameRecord], _ ports: [Int: PortID]
    ) -> [PortID: [WaitingFrame]] {
        var waiting: [PortID: [WaitingFrame]] = [:]
        for frame in frames {
            guard let egress = ports[Int(frame.egressIndex)] else { continue }
            waiting[egress, default: []].append(
                WaitingFrame(
                    time: frame.time, ingress: ports[Int(frame.ingressIndex)] ?? egress,
                    bytes: frame.bytes))
        }
        return waiting
    }

    private func learn(_ stations: [StationRecord], _ ports: [Int: any ManagedPort]) {
        let now = tick
        for station in stations {
            guard let port = ports[Int(station.portIndex)] else { continue }
            _ = dataPlane.macTable.learn(
                source: station.address, vlan: station.vlan, port: port.id,
                now: now &- station.ageTicks)
        }
    }
}
