// Random traffic, random misfortune and random attachments through simulated workers. After every
// round the workers come to rest, and then everything must add up.
//
// The seed of a failure is in its comment; RINGSWITCH_SEED repeats it.

import Glibc
import IORing
import Support
import SwitchCore
import Testing

@testable import Dataplane

@Suite struct WorkerSimulationTests {
    /// One random run.
    private struct Run {
        let simulation: SimulatedSwitch
        var generator: SeededGenerator
        let ports: Int
        /// Ports that nothing happens to: they must receive everything.
        let healthy: Set<Int>

        init(
            seed: UInt64, workers: Int, healthy: Set<Int> = [],
            sockets: [TransportKind] = [.unixgram]
        ) throws {
            generator = SeededGenerator(seed: seed)
            ports = Int.random(in: 2...6, using: &generator)
            self.healthy = healthy
            var options = SimulatedSwitch.Options()
            options.seed = seed
            options.workers = workers
            options.ports = ports
            options.queueBytes =
                [512, 4096, 16_384, 65_536].randomElement(using: &generator) ?? 4096
            options.queueDiscipline =
                Bool.random(using: &generator) ? .fifo : .fair(target: 100_000)
            options.peerCapacity = Int.random(in: 1...40, using: &generator)
            options.handoverBytes =
                [4096, 65_536].randomElement(using: &generator) ?? 4096
            for _ in 0..<ports {
                var shape = PortShape(pauses: Bool.random(using: &generator))
                if sockets.count > 1 {
                    shape.socket = sockets.randomElement(using: &generator) ?? .unixgram
                }
                options.shapes.append(shape)
            }
            simulation = try SimulatedSwitch(options)
            for kernel in simulation.kernels {
                kernel.endingRate = UInt64.random(in: 0...20, using: &generator)
                kernel.refusalRate = [0, 3, 10].randomElement(using: &generator) ?? 0
                kernel.delaysCancels = Bool.random(using: &generator)
            }
        }

        private mutating func port() -> Int { Int.random(in: 0..<ports, using: &generator) }

        /// One operation that leaves the workers alone.
        mutating func operate() throws {
            switch Int.random(in: 0..<22, using: &generator) {
            case 0..<9: burst()
            case 9: try changeAttachment()
            case 10..<13: changeMood()
            case 13: simulation.peers[port()].read()
            case 14:
                let whimsical = port()
                guard !healthy.contains(whimsical) else { return }
                simulation.peers[whimsical].whim = UInt64.random(in: 0...5, using: &generator)
            case 15: simulation.advance(UInt64.random(in: 0...3_000_000, using: &generator))
            case 16: badDatagram()
            case 17: stale()
            case 18: hangUp()
            case 19: if Bool.random(using: &generator) { rest() }
            default:
                let count = Int.random(in: 1...4, using: &generator)
                for _ in 0..<count {
                    simulation.turn(
                        Int.random(in: 0..<simulation.options.workers, using: &generator))
                }
            }
        }

        private mutating func burst() {
            let source = port()
            guard !simulation.peers[source].hasClosed else { return }
            let lengthMax = [60, 200, 1518].randomElement(using: &generator) ?? 60
            let destination = Bool.random(using: &generator) ? port() : nil
            for _ in 0..<Int.random(in: 1...80, using: &generator) {
                simulation.send(
                    from: source,
                    to: Int.random(in: 0..<4, using: &generator) == 0 ? port() : destination,
                    length: Int.random(in: SimulatedFrame.lengthMin...lengthMax, using: &generator))
            }
        }

        private mutating func changeAttachment() throws {
            let target = port()
            guard !healthy.contains(target) else { return }
            if simulation.isAttached(target) {
                simulation.detach(target)
            } else if simulation.connections[target] == nil {
                let early = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                    simulation.frame(from: target, to: nil, length: 60)
                }
                // What the peer sent before it had a connection came before these.
                // A stream begins with the connection.
                let isStream = simulation.options.shape(target).transport.framing != nil
                guard simulation.peers[target].outbox.isEmpty && !isStream || early.isEmpty else {
                    simulation.peers[target].outbox += early
                    return try simulation.attach(target)
                }
                try simulation.attach(target, earlyFrames: early)
            }
        }

        private mutating func changeMood() {
            let target = port()
            guard !healthy.contains(target) else { return }
            let moods: [SimulatedPeer.Mood] = [
                .reading, .reading, .stuck, .stuck, .failing(EAGAIN), .failing(ENOBUFS),
                .failing(EMSGSIZE), .failing(EIO), .failing(EINTR), .failing(ECONNREFUSED),
            ]
            simulation.peers[target].mood = moods.randomElement(using: &generator) ?? .reading
        }

        private mutating func badDatagram() {
            let source = port()
            let peer = simulation.peers[source]
            // An empty packet looks like the end if the peer closes before it is seen.
            let least = peer.shape.transport == .seqpacket ? 1 : 0
            let length = [least, 1, 13, 2000].randomElement(using: &generator) ?? 0
            guard !peer.hasClosed else { return }
            simulation.send(from: source, raw: Array(repeating: 4, count: length))
        }

        private mutating func stale() {
            let kernel = simulation.kernels.randomElement(using: &generator)
            kernel?.postStale(
                Completion(
                    tag: CompletionTag(
                        kind: UInt8.random(in: 1...5, using: &generator) | 1,
                        port: UInt16(port()), generation: 0x7FFF, slot: 0),
                    result: 60, flags: 2))
        }

        /// Closes a peer's end, where its transport tells.
        private mutating func hangUp() {
            let target = port()
            guard simulation.isAttached(target), simulation.peers[target].shape.transport.hasEnd
            else { return }
            simulation.peers[target].hasClosed = true
        }

        /// Brings the workers to rest, amid whatever they do, and lets them go on.
        private mutating func rest() {
            for level in [Hold.receiving, .all] {
                simulation.hold(level)
                var turnsLeft = 1000
                while !simulation.isAtRest, turnsLeft > 0 {
                    simulation.turn(
                        Int.random(in: 0..<simulation.options.workers, using: &generator))
                    turnsLeft -= 1
                }
                #expect(simulation.isAtRest, "seed \(simulation.options.seed): \(level)")
            }
            #expect(simulation.context.counters.snapshot().isBalanced)
            simulation.hold(.none)
        }

        /// Ends refusals that no clock ends.
        func calm() {
            for peer in simulation.peers { peer.whim = 0 }
        }

        /// Lets some read again, so that the workers can come to rest, and looks.
        mutating func round(operations: Int) throws {
            for _ in 0..<operations { try operate() }
            calm()
            for peer in simulation.peers {
                // The rest of a frame is tried for ever.
                let mayFail =
                    peer.shape.transport.framing == nil && Bool.random(using: &generator)
                guard !mayFail else { continue }
                if case .failing = peer.mood { peer.mood = .reading }
            }
            simulation.settle(&generator)
            simulation.expectSound()
        }
    }

    @Test(arguments: Seeds.list(25))
    func `one worker loses nothing without a name, whatever happens`(seed: UInt64) throws {
        var run = try Run(seed: seed, workers: 1)
        for port in 0..<run.ports { try run.simulation.attach(port) }
        for _ in 0..<8 { try run.round(operations: 25) }
        run.simulation.shutDown()
    }

    @Test(arguments: Seeds.list(25))
    func `two workers lose nothing without a name, in any interleaving`(seed: UInt64) throws {
        var run = try Run(seed: seed, workers: 2)
        for port in 0..<run.ports { try run.simulation.attach(port) }
        for _ in 0..<8 { try run.round(operations: 25) }
        run.simulation.shutDown()
    }

    @Test(arguments: Seeds.list(16))
    func `streams and packets beside datagrams lose nothing without a name`(seed: UInt64) throws {
        var run = try Run(
            seed: seed, workers: seed % 2 == 0 ? 2 : 1,
            sockets: [.unixgram, .stream, .vpnkit, .seqpacket])
        for port in 0..<run.ports { try run.simulation.attach(port) }
        for _ in 0..<8 { try run.round(operations: 25) }
        run.simulation.shutDown()
    }

    @Test(arguments: Seeds.list(12))
    func `a port that keeps up receives every frame, whatever the others do`(seed: UInt64) throws {
        var run = try Run(seed: seed, workers: 1, healthy: [0, 1])
        let simulation = run.simulation
        for port in 0..<run.ports { try simulation.attach(port) }
        simulation.settle()
        simulation.learnStations()
        var expected = 0
        for _ in 0..<8 {
            for _ in 0..<20 {
                try run.operate()
                let count = Int.random(in: 0...40, using: &run.generator)
                for _ in 0..<count { simulation.send(from: 1, to: 0, length: 80) }
                expected += count
            }
            run.calm()
            simulation.settle(&run.generator)
        }
        // What port 1 sent to port 0 beside the random traffic is a lower bound; the exact number
        // is what was received of port 1 for port 0, as nothing may be dropped at port 0.
        let counters = simulation.context.counters.snapshot(port: PortID(index: 0))
        for reason in DropReason.allCases where !reason.isIngress {
            #expect(counters[dropped: reason] == 0, "seed \(seed): \(reason)")
        }
        let received = simulation.peers[0].delivered[PortID(index: 1)]?.count ?? 0
        #expect(received >= expected, "seed \(seed)")
        simulation.expectSound()
        simulation.shutDown()
    }

    @Test(arguments: Seeds.list(10))
    func `no frame leaves later than the queue delay and the time between two turns`(
        seed: UInt64
    ) throws {
        var options = SimulatedSwitch.Options()
        options.seed = seed
        options.ports = 2
        options.queueBytes = 1 << 20
        let simulation = try SimulatedSwitch(options)
        for port in 0..<2 { try simulation.attach(port) }
        simulation.settle()
        simulation.learnStations()
        var generator = SeededGenerator(seed: seed)
        simulation.peers[1].mood = .stuck
        // The time at which each number was sent by the peer.
        var sentAt: [UInt64] = [0]
        var looked = 0
        let step: UInt64 = 400_000
        for _ in 0..<400 {
            for _ in 0..<Int.random(in: 0...5, using: &generator) {
                simulation.send(from: 0, to: 1)
                sentAt.append(simulation.clock)
            }
            if Int.random(in: 0..<4, using: &generator) == 0 { simulation.peers[1].read() }
            simulation.turn()
            let delivered = simulation.peers[1].delivered[PortID(index: 0)] ?? []
            for number in delivered[looked...] {
                let age = simulation.clock - sentAt[Int(number)]
                #expect(age <= options.queueDelay + 2 * step, "seed \(seed): number \(number)")
            }
            looked = delivered.count
            simulation.advance(UInt64.random(in: 0...step, using: &generator))
        }
        #expect(simulation.counters(1)[dropped: .queueExpired] > 0, "seed \(seed)")
        simulation.settle()
        simulation.shutDown()
    }
}
