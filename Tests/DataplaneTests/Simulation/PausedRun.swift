// A switch whose port 0 pauses, and time that passes as the workers would sleep through it.

import Support
import SwitchCore
import Testing

@testable import Dataplane

/// A simulated switch of which port 0 pauses, with a look at every pause.
final class PausedRun {
    let simulation: SimulatedSwitch
    /// Time for which port 0 was paused, one element a pause that is over.
    private(set) var pauses: [UInt64] = []
    /// The most frames of port 0 that were ever in the switch.
    private(set) var mostWaiting = 0
    private var pausedSince: UInt64?
    /// The workers did not come to rest: nothing else is worth a try.
    private var isRestless = false

    init(
        pauses: Bool = true, _ change: (inout SimulatedSwitch.Options) -> Void = { _ in }
    ) throws {
        var options = SimulatedSwitch.Options()
        options.queueBytes = 1 << 20
        change(&options)
        options.shapes = Array(repeating: PortShape(), count: options.ports)
        options.shapes[0].pauses = pauses
        simulation = try SimulatedSwitch(options)
        for port in 0..<options.ports { try simulation.attach(port) }
        simulation.settle()
        simulation.learnStations()
    }

    /// The receive buffers of a port.
    static let window = Connection.bufferCount(frameLengthMax: PortShape().frameLengthMax)

    /// Lets port 0's peer have so many frames for port 1, or for all, that wait to be taken.
    func offer(_ count: Int, to destination: Int? = 1, lengths: ClosedRange<Int> = 100...100) {
        var generator = SeededGenerator(seed: simulation.clock)
        while simulation.peers[0].outbox.count < count {
            simulation.send(
                from: 0, to: destination, length: Int.random(in: lengths, using: &generator))
        }
    }

    /// Lets the workers take turns until all sleep, and one more, whose wait is for as long as what
    /// the last of these turns left asks for.
    func rest() {
        let workers = 0..<simulation.options.workers
        var restingRounds = 0
        for _ in 0..<5000 {
            for worker in workers {
                simulation.kernels[worker].forgetWait()
                turn(worker)
            }
            restingRounds = workers.allSatisfy { isAsleep($0) } ? restingRounds + 1 : 0
            if restingRounds == 2 { return }
        }
        if !isRestless { Issue.record("the workers do not come to rest") }
        isRestless = true
    }

    /// Whether the worker's last turn waited in vain, as its next would.
    private func isAsleep(_ worker: Int) -> Bool {
        let kernel = simulation.kernels[worker]
        return kernel.lastWait != .none && !kernel.hasWork
    }

    /// Lets time pass, in which the workers sleep for as long as they want to and no longer.
    func pass(_ nanoseconds: UInt64) {
        let end = simulation.clock + nanoseconds
        while true {
            rest()
            guard simulation.clock < end, !isRestless else { return }
            var span = end - simulation.clock
            for kernel in simulation.kernels {
                if case .upTo(let time) = kernel.lastWait { span = min(span, UInt64(max(1, time))) }
            }
            simulation.advance(span)
        }
    }

    func turn(_ worker: Int = 0) {
        simulation.turn(worker)
        mostWaiting = max(
            mostWaiting,
            simulation.context.backlog.waiting(of: PortID(index: 0))
                + simulation.context.backlog.crossing(of: PortID(index: 0)))
        if simulation.isPaused(0) {
            pausedSince = pausedSince ?? simulation.clock
        } else if let since = pausedSince {
            pauses.append(simulation.clock - since)
            pausedSince = nil
        }
    }

    /// Drops of the whole switch for these reasons, or for any.
    func drops(_ reasons: [DropReason] = DropReason.allCases) -> UInt64 {
        let sum = simulation.context.counters.snapshot()
        return reasons.reduce(0) { $0 + sum[dropped: $1] }
    }

    /// Numbers of the frames of port 0 that arrived at a port.
    func delivered(_ port: Int = 1) -> [UInt32] {
        simulation.peers[port].delivered[PortID(index: 0)] ?? []
    }

    /// Lets everybody read, demands exact books, and ends.
    func finish(sourceLocation: SourceLocation = #_sourceLocation) {
        for peer in simulation.peers { peer.mood = .reading }
        simulation.settle()
        simulation.expectSound(sourceLocation: sourceLocation)
        // The next to look at port 0 may be another worker's turn, or nobody's.
        let counters = simulation.counters(0)
        #expect(
            counters[.pausedNanoseconds] >= pauses.reduce(0, +), sourceLocation: sourceLocation)
        simulation.shutDown(sourceLocation: sourceLocation)
    }
}
