// Large frames, checksums and limits through simulated workers: random ports of all classes, random
// traffic, honest and not.
//
// The seed of a failure is in its comment; RINGSWITCH_SEED repeats it.

import Glibc
import Support
import SwitchCore
import Testing

@testable import Dataplane

@Suite struct OffloadSimulationTests {
    /// A switch with ports of random classes, all attached, and what their peers say.
    private struct Run {
        let simulation: SimulatedSwitch
        var traffic: OffloadTraffic
        let seed: UInt64

        init(
            seed: UInt64, ports: Int, workers: Int,
            _ change: (inout SimulatedSwitch.Options) -> Void
        ) throws {
            var generator = SeededGenerator(seed: seed)
            var options = SimulatedSwitch.Options()
            options.seed = seed
            options.workers = workers
            options.ports = ports
            options.shapes = OffloadTraffic.shapes(ports, using: &generator)
            for port in 0..<ports where options.shapes[port].transport == .unixgram {
                options.shapes[port].pauses = Bool.random(using: &generator)
            }
            options.handoverBytes = 1 << 20
            // The peers demand the order of all that comes from a port, not that of its flows.
            options.queueDiscipline = .fifo
            change(&options)
            self.seed = seed
            traffic = OffloadTraffic(options.shapes, seed: seed)
            let shapes = options.shapes
            let capacity = options.peerCapacity
            simulation = try SimulatedSwitch(options) { port in
                OffloadPeer(
                    port: port, shape: shapes[port.index], capacity: capacity, seed: seed)
            }
            for kernel in simulation.kernels {
                kernel.endingRate = UInt64.random(in: 0...20, using: &generator)
                kernel.refusalRate = [0, 3, 10].randomElement(using: &generator) ?? 0
            }
            for port in 0..<ports { try simulation.attach(port) }
            simulation.settle()
            simulation.learnStations()
        }

        func peer(_ port: Int) throws -> OffloadPeer {
            try #require(simulation.peers[port] as? OffloadPeer)
        }

        mutating func port(otherThan other: Int? = nil) -> Int {
            let count = simulation.options.ports
            let port = Int.random(in: 0..<count, using: &traffic.generator)
            return port == other ? (port + 1) % count : port
        }

        /// Lets a peer send a message to a random other one, or to all.
        mutating func say() -> OffloadMessage {
            let source = port()
            let isFlood = Bool.random(using: &traffic.generator)
            let message = traffic.message(
                from: source, to: isFlood ? nil : port(otherThan: source))
            simulation.send(from: source, raw: message.bytes)
            return message
        }

        mutating func settle() { simulation.settle(&traffic.generator) }
    }

    @Test(arguments: Seeds.list(12), [1, 2])
    func `what fits a port arrives whole, and all else is too big`(
        seed: UInt64, workers: Int
    ) throws {
        var run = try Run(seed: seed, ports: Int(2 + seed % 4), workers: workers) {
            $0.queueBytes = 1 << 22
            $0.queueDelay = 1_000_000_000
        }
        var messages: [OffloadMessage] = []
        for _ in 0..<10 {
            for _ in 0..<8 { messages.append(run.say()) }
            run.settle()
        }
        for (port, shape) in run.simulation.options.shapes.enumerated() {
            let meant = messages.filter {
                $0.ingress.index != port && ($0.destination ?? port) == port
            }
            let received = try run.peer(port).received
            for message in meant where message.fits(shape) {
                let count = received[message.ingress]?[message.number]
                #expect(
                    count == message.byteCount,
                    "seed \(seed), port \(port) \(shape): \(message.number) of \(message.ingress)")
            }
            let drops = run.simulation.context.counters.snapshot(port: PortID(index: port))
            #expect(
                drops[dropped: .tooBig] == UInt64(meant.count { !$0.fits(shape) }), "seed \(seed)")
            #expect(drops.dropped == drops[dropped: .tooBig], "seed \(seed)")
        }
        run.simulation.shutDown()
    }

    @Test(arguments: Seeds.list(12), [1, 2])
    func `no frame above a port's limits ever leaves to it, whatever comes in and happens`(
        seed: UInt64, workers: Int
    ) throws {
        var run = try Run(seed: seed, ports: Int(3 + seed % 3), workers: workers) {
            $0.queueBytes = [140_000, 1 << 20][Int(seed % 2)]
            $0.peerCapacity = Int(1 + seed * 7 % 40)
        }
        run.traffic.payloadMax = [3000, 65_535][Int(seed % 2)]
        let moods: [SimulatedPeer.Mood] = [
            .reading, .reading, .stuck, .stuck, .failing(EAGAIN), .failing(ENOBUFS),
            .failing(EMSGSIZE), .failing(ECONNREFUSED),
        ]
        for _ in 0..<6 {
            for _ in 0..<20 {
                let port = run.port()
                switch Int.random(in: 0..<12, using: &run.traffic.generator) {
                case 0..<4: for _ in 0..<4 { _ = run.say() }
                case 4..<7: run.simulation.send(from: port, raw: run.traffic.noise(from: port))
                case 7:
                    run.simulation.peers[port].mood =
                        moods.randomElement(using: &run.traffic.generator) ?? .reading
                case 8: run.simulation.peers[port].whim = UInt64(run.port())
                case 9: run.simulation.peers[port].read()
                case 10: try changeAttachment(of: port, &run)
                default: run.simulation.turn(port % workers)
                }
            }
            for peer in run.simulation.peers {
                peer.whim = 0
                if case .failing = peer.mood { peer.mood = .reading }
            }
            run.settle()
            run.simulation.expectSound()
        }
        run.simulation.shutDown()
    }

    /// Takes a port away, or brings it back; its peer may have spoken during the handshake.
    private func changeAttachment(of port: Int, _ run: inout Run) throws {
        if run.simulation.isAttached(port) {
            run.simulation.detach(port)
        } else if run.simulation.connections[port] == nil {
            let peer = run.simulation.peers[port]
            let isSocket = peer.shape.transport == .unixgram
            let early = Array(peer.outbox.prefix(isSocket ? Int(run.seed % 4) : 0))
            peer.outbox.removeFirst(early.count)
            try run.simulation.attach(port, earlyFrames: early)
        }
    }
}
