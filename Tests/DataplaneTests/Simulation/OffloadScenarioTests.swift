// What a worker does with segments in situations that random traffic meets too seldom.

import Glibc
import Support
import SwitchCore
import Testing

@testable import Dataplane

@Suite struct OffloadScenarioTests {
    /// Port 0 is raw, its peer sends; the others are as given.
    private func makeSwitch(
        _ shapes: [PortShape], _ change: (inout SimulatedSwitch.Options) -> Void = { _ in }
    ) throws -> SimulatedSwitch {
        var options = SimulatedSwitch.Options()
        options.shapes = [PortShape(offload: .raw, frameLengthMax: 65_550)] + shapes
        options.ports = options.shapes.count
        options.queueBytes = 1 << 20
        options.queueDiscipline = .fifo
        change(&options)
        let capacity = options.peerCapacity
        let all = options.shapes
        let simulation = try SimulatedSwitch(options) {
            OffloadPeer(port: $0, shape: all[$0.index], capacity: capacity, seed: 1)
        }
        for port in 0..<options.ports { try simulation.attach(port) }
        simulation.settle()
        simulation.learnStations()
        return simulation
    }

    private func peer(_ port: Int, of simulation: SimulatedSwitch) throws -> OffloadPeer {
        try #require(simulation.peers[port] as? OffloadPeer)
    }

    /// Sends a TCP frame, of 20 segments of 1460 bytes unless told otherwise.
    private func send(
        _ number: UInt32, to destination: Int?, payload count: Int = 29_200,
        checksum: PacketBuilder.Checksum = .partial, on simulation: SimulatedSwitch
    ) {
        var packet = PacketBuilder()
        packet.source = SimulatedFrame.station(PortID(index: 0))
        packet.destination = destination.station
        packet.acknowledgement = number
        packet.sequence = number &* 65_536
        packet.checksum = checksum
        packet.payload = Array(
            OffloadStream.stretch(PortID(index: 0), from: packet.sequence, count: count))
        simulation.send(from: 0, raw: packet.bytes)
    }

    @Test(arguments: [1, 2])
    func `segments that were refused midway wait and follow in order`(workers: Int) throws {
        let simulation = try makeSwitch([PortShape()]) {
            $0.workers = workers
            $0.handoverBytes = 1 << 18
        }
        simulation.peers[1].mood = .stuck
        for number in 1...3 { send(UInt32(number), to: 1, on: simulation) }
        for turn in 0..<3 * workers { simulation.turn(turn % workers) }
        let capacity = simulation.options.peerCapacity
        #expect(simulation.peers[1].deliveredCount == capacity)
        let waiting = simulation.context.counters.snapshot(port: PortID(index: 1))
        #expect(waiting[.queuedFrames] == UInt64(60 - capacity))
        #expect(waiting[.segmentCopies] == 57)
        simulation.expectSound()
        simulation.peers[1].mood = .reading
        simulation.settle()
        // The peer demands their order.
        let received = try peer(1, of: simulation).received[PortID(index: 0)]
        #expect(received == [1: 29_200, 2: 29_200, 3: 29_200])
        simulation.shutDown()
    }

    @Test func `segments that the queue has no room for are counted one by one`() throws {
        let simulation = try makeSwitch([PortShape()]) { $0.queueBytes = 10 * (1514 + 38) }
        simulation.peers[1].mood = .stuck
        send(1, to: 1, on: simulation)
        simulation.turn()
        simulation.turn()
        let capacity = UInt64(simulation.options.peerCapacity)
        let counters = simulation.context.counters.snapshot(port: PortID(index: 1))
        #expect(counters[.sentFrames] == capacity)
        #expect(counters[.queuedFrames] == 10)
        #expect(counters[dropped: .queueFull] == 10 - capacity)
        simulation.expectSound()
        simulation.shutDown()
    }

    @Test func `a peer that goes in the midst of segments costs only its own`() throws {
        let simulation = try makeSwitch([PortShape(), PortShape()])
        simulation.peers[1].mood = .failing(ECONNREFUSED)
        send(1, to: nil, on: simulation)
        simulation.settle()
        #expect(simulation.counters(1)[dropped: .noPeer] == 20)
        #expect(try peer(2, of: simulation).received[PortID(index: 0)] == [1: 29_200])
        simulation.shutDown()
    }

    @Test(arguments: [1, 2, 3])
    func `a flood reaches each port in the form that it takes`(workers: Int) throws {
        let shapes = [
            PortShape(), PortShape(frameLengthMax: 9018),
            PortShape(offload: .raw, frameLengthMax: 65_550),
            PortShape(offload: .raw), PortShape(offload: .vnet, mtu: 1500),
            PortShape(offload: .vnet, frameLengthMax: 9018, mtu: 9000),
        ]
        let simulation = try makeSwitch(shapes) {
            $0.workers = workers
            $0.handoverBytes = 1 << 18
        }
        for number in 1...4 { send(UInt32(number), to: nil, on: simulation) }
        simulation.settle()
        for (index, frames) in [80, 16, 4, 80, 4, 4].enumerated() {
            let peer = try peer(index + 1, of: simulation)
            let counts = peer.received[PortID(index: 0)]?.values.map { $0 } ?? []
            #expect(counts == [29_200, 29_200, 29_200, 29_200], "port \(index + 1)")
            #expect(peer.deliveredCount == frames, "port \(index + 1)")
            #expect(peer.largeCount == (shapes[index].offload == .vnet ? 4 : 0))
        }
        simulation.shutDown()
    }

    @Test func `a frame above the MTU is cut though max_frame lets it pass`() throws {
        // Whatever its checksum, and though port 1 may have completed it already.
        let simulation = try makeSwitch([
            PortShape(offload: .raw, frameLengthMax: 9018),
            PortShape(), PortShape(offload: .vnet, mtu: 1500),
        ])
        send(1, to: nil, payload: 1461, checksum: .complete, on: simulation)
        send(2, to: nil, payload: 1461, checksum: .partial, on: simulation)
        simulation.settle()
        #expect(simulation.peers[1...].map(\.deliveredCount) == [2, 4, 2])
        #expect(try peer(3, of: simulation).largeCount == 2)
        simulation.shutDown()
    }

    @Test func `segments do not outlive their turn`() throws {
        // A frame of more than half the ring lies where the one before it lay.
        let simulation = try makeSwitch([PortShape()]) {
            $0.workers = 2
            $0.handoverBytes = 1 << 16
        }
        for number in 1...3 {
            send(UInt32(number), to: 1, payload: 43_800, on: simulation)
            simulation.settle()
        }
        #expect(
            try peer(1, of: simulation).received[PortID(index: 0)]
                == [1: 43_800, 2: 43_800, 3: 43_800])
        simulation.shutDown()
    }

    @Test func `the arena is emptied in the midst of a turn, for careful ports as well`() throws {
        // It has 2048 records, and each frame for port 2 needs 457.
        let simulation = try makeSwitch([PortShape(), PortShape(frameLengthMax: 18 + 40 + 64)])
        simulation.peers[1].mood = .stuck
        send(1, to: 1, on: simulation)
        simulation.turn()
        simulation.turn()
        simulation.peers[1].mood = .reading
        simulation.settle()
        #expect(simulation.isCareful(1))

        send(2, to: 1, on: simulation)
        for number in 3...14 { send(UInt32(number), to: 2, on: simulation) }
        simulation.settle()
        #expect(
            try peer(1, of: simulation).received[PortID(index: 0)] == [1: 29_200, 2: 29_200])
        let received = try peer(2, of: simulation).received[PortID(index: 0)] ?? [:]
        #expect(received.count == 12 && received.values.allSatisfy { $0 == 29_200 })
        #expect(simulation.peers[2].deliveredCount == 12 * 457)
        simulation.shutDown()
    }
}
