// What a worker does in situations that random traffic meets too seldom, or would not notice.

import Glibc
import IORing
import Support
import SwitchCore
import Testing

@testable import Dataplane

@Suite struct WorkerScenarioTests {
    private func makeSwitch(_ change: (inout SimulatedSwitch.Options) -> Void = { _ in })
        throws -> SimulatedSwitch
    {
        var options = SimulatedSwitch.Options()
        change(&options)
        let simulation = try SimulatedSwitch(options)
        for port in 0..<options.ports { try simulation.attach(port) }
        simulation.settle()
        simulation.learnStations()
        return simulation
    }

    @Test func `frames that came with the handshake are forwarded before all others`() throws {
        let simulation = try makeSwitch()
        simulation.detach(0)
        simulation.settle()
        let early = (0..<3).map { _ in simulation.frame(from: 0, to: 1, length: 60) }
        try simulation.attach(0, earlyFrames: early)
        simulation.send(from: 0, to: 1)
        simulation.settle()
        #expect(simulation.peers[1].delivered[PortID(index: 0)] == [1, 2, 3, 4])
        simulation.shutDown()
    }

    @Test func `early frames reach ports that are attached at the same moment`() throws {
        var options = SimulatedSwitch.Options()
        options.ports = 2
        let simulation = try SimulatedSwitch(options)
        try simulation.attach(
            0, earlyFrames: [simulation.frame(from: 0, to: nil, length: 60)])
        try simulation.attach(1)
        simulation.settle()
        #expect(simulation.peers[1].deliveredCount == 1)
        simulation.shutDown()
    }

    @Test func `more early frames than a batch holds are all forwarded`() throws {
        let simulation = try makeSwitch { $0.ports = 2 }
        simulation.detach(0)
        simulation.settle()
        let count = Worker<SimulatedBackend>.framesMax + 100
        let early = (0..<count).map { _ in simulation.frame(from: 0, to: 1, length: 60) }
        try simulation.attach(0, earlyFrames: early)
        simulation.settle()
        #expect(simulation.peers[1].deliveredCount == count)
        simulation.shutDown()
    }

    @Test func `a connection that came and went between two turns is retired`() throws {
        let simulation = try makeSwitch()
        simulation.detach(2)
        simulation.settle()
        try simulation.attach(2)
        simulation.detach(2)
        simulation.settle()
        #expect(simulation.connections[2] == nil)
        try simulation.attach(2)
        simulation.send(from: 0, to: 2)
        simulation.settle()
        #expect(simulation.peers[2].deliveredCount == 1)
        simulation.shutDown()
    }

    @Test func `a connection that the kernel does not accept is reported and retired`() throws {
        let simulation = try makeSwitch()
        simulation.detach(1)
        simulation.settle()
        simulation.kernels[0].openFailure = ENOMEM
        try simulation.attach(1)
        simulation.settle()
        let failure = try #require(simulation.events.last)
        #expect(failure.kind == .activationFailed)
        #expect(failure.errno == ENOMEM)
        simulation.send(from: 0, to: 1)
        simulation.settle()
        #expect(simulation.counters(1)[dropped: .noPeer] == 1)
        simulation.shutDown()
    }

    @Test func `flooded copies use only the first half of a congested queue`() throws {
        let simulation = try makeSwitch()
        simulation.peers[1].mood = .stuck
        for _ in 0..<400 { simulation.send(from: 0, to: nil, length: 500) }
        var most = 0
        for _ in 0..<20 {
            simulation.turn()
            most = max(most, simulation.usedBytes(1))
        }
        let half = simulation.options.queueBytes / 2
        #expect(most <= half)
        #expect(most > half - 600, "the half is used")
        #expect(simulation.counters(1)[dropped: .floodLimited] > 0)
        simulation.send(from: 0, to: 1, length: 500)
        simulation.turn()
        simulation.turn()
        #expect(simulation.usedBytes(1) > half)
        #expect(simulation.peers[2].deliveredCount == 400)
        simulation.settle()
        simulation.shutDown()
    }

    @Test func `a worker that polls looks for as long as it may, and then sleeps`() throws {
        let simulation = try makeSwitch { $0.busyPoll = 50_000 }
        let kernel = simulation.kernels[0]
        let before = (kernel.enterCount, kernel.clock)
        simulation.turn()
        #expect(kernel.enterCount - before.0 == 51)
        #expect(kernel.clock - before.1 == 50 * kernel.lookNanoseconds)
        #expect(kernel.lastWait == .forever)
        simulation.send(from: 0, to: 1)
        simulation.turn()
        #expect(kernel.enterCount - before.0 == 53, "it looked once, and sent")
        #expect(kernel.lastWait == .none)
        #expect(simulation.peers[1].deliveredCount == 1)
        simulation.settle()
        simulation.shutDown()
    }

    @Test func `a lone frame overtakes those of a flow that waits`() throws {
        let simulation = try makeSwitch { $0.queueBytes = 1 << 20 }
        simulation.peers[1].mood = .stuck
        for _ in 0..<100 { simulation.send(from: 0, to: 1, length: 500) }
        for _ in 0..<8 { simulation.turn() }
        let waiting = simulation.counters(1)[.queuedFrames]
        #expect(waiting > 50)
        simulation.send(from: 2, to: 1, length: 100)
        simulation.turn()
        #expect(simulation.counters(1)[.queuedFrames] == waiting + 1)
        simulation.peers[1].read()
        simulation.advance(1_000_000)
        simulation.turn()
        #expect(simulation.peers[1].delivered[PortID(index: 2)]?.count == 1)
        #expect(simulation.counters(1)[.queuedFrames] > 40, "there is room for a few")
        simulation.peers[1].mood = .reading
        simulation.settle()
        #expect(simulation.peers[1].deliveredCount == 101)
        simulation.shutDown()
    }

    @Test func `a flow that waits for long at a slow peer is slowed down, and the books say so`()
        throws
    {
        let simulation = try makeSwitch { $0.queueBytes = 1 << 20 }
        simulation.peers[1].mood = .stuck
        // Each step 8 frames come and the peer reads 8, while some 30 wait: 4 ms of delay.
        for _ in 0..<40 { simulation.send(from: 0, to: 1, length: 500) }
        for _ in 0..<200 {
            simulation.turn()
            for _ in 0..<8 { simulation.send(from: 0, to: 1, length: 500) }
            simulation.advance(1_000_000)
            simulation.peers[1].read()
        }
        let counters = simulation.counters(1)
        #expect(counters[dropped: .codel] > 3)
        #expect(counters[dropped: .queueFull] == 0)
        simulation.peers[1].mood = .reading
        simulation.settle()
        simulation.shutDown()
    }

    @Test func `a slow peer whose socket fills up within a batch gets all frames in order`() throws
    {
        let simulation = try makeSwitch {
            $0.peerCapacity = 64
            $0.queueBytes = 1 << 20
        }
        simulation.peers[1].mood = .stuck
        simulation.peers[1].pace = 3
        for _ in 0..<30 {
            for _ in 0..<40 { simulation.send(from: 0, to: 1) }
            simulation.turn()
            simulation.turn()
        }
        simulation.peers[1].mood = .reading
        simulation.settle()
        #expect(simulation.counters(1)[dropped: .overtaken] == 0)
        #expect(simulation.peers[1].delivered[PortID(index: 0)] == (1...1200).map { $0 })
        simulation.shutDown()
    }

    @Test func `a port is sent to directly again after ten milliseconds without a refusal`() throws
    {
        let simulation = try makeSwitch()
        simulation.peers[1].mood = .stuck
        for _ in 0..<20 { simulation.send(from: 0, to: 1) }
        simulation.turn()
        simulation.turn()
        #expect(simulation.isCareful(1))
        simulation.peers[1].mood = .reading
        simulation.settle()
        let refusal = simulation.lastRefusal(1)
        simulation.advance(refusal + 9_999_999 - simulation.clock)
        simulation.turn()
        #expect(simulation.isCareful(1))
        simulation.advance(1)
        simulation.turn()
        #expect(!simulation.isCareful(1))
        #expect(simulation.peers[1].delivered[PortID(index: 0)] == (1...20).map { $0 })
        simulation.shutDown()
    }

    @Test func `a frame that waited longer than the queue delay is never sent`() throws {
        let simulation = try makeSwitch()
        simulation.peers[1].mood = .stuck
        for _ in 0..<20 { simulation.send(from: 0, to: 1) }
        simulation.turn()
        simulation.turn()
        simulation.advance(simulation.options.queueDelay + 1)
        simulation.peers[1].mood = .reading
        simulation.settle()
        #expect(simulation.peers[1].deliveredCount == simulation.options.peerCapacity)
        #expect(
            simulation.counters(1)[dropped: .queueExpired]
                == UInt64(20 - simulation.options.peerCapacity))
        simulation.shutDown()
    }

    @Test func `a peer that is gone costs its own frames and is reported once`() throws {
        let simulation = try makeSwitch()
        simulation.peers[1].mood = .failing(ECONNREFUSED)
        for _ in 0..<50 { simulation.send(from: 0, to: 1) }
        for _ in 0..<50 { simulation.send(from: 2, to: 3) }
        simulation.settle()
        #expect(simulation.counters(1)[dropped: .noPeer] == 50)
        #expect(simulation.peers[3].deliveredCount == 50)
        #expect(simulation.events.filter { $0.kind == .peerGone }.count == 1)
        simulation.shutDown()
    }

    @Test(arguments: [
        (EMSGSIZE, DropReason.tooBig), (EIO, .deviceDown), (EBADFD, .deviceDown),
        (EINVAL, .sendFailed),
        (EPERM, .noPeer),
    ])
    func `a send that fails for good is a drop with the kernel's reason`(
        errno: Int32, reason: DropReason
    ) throws {
        let simulation = try makeSwitch()
        simulation.peers[1].mood = .failing(errno)
        simulation.send(from: 0, to: 1)
        simulation.settle()
        #expect(simulation.counters(1)[dropped: reason] == 1)
        simulation.shutDown()
    }

    @Test func `a kernel without memory is asked again later and not polled`() throws {
        let simulation = try makeSwitch()
        simulation.peers[1].mood = .failing(ENOBUFS)
        simulation.send(from: 0, to: 1)
        simulation.turn()
        simulation.turn()
        #expect(!simulation.isPolled(1))
        #expect(simulation.kernels[0].lastWait != .forever)
        simulation.settle()
        #expect(simulation.counters(1)[dropped: .queueExpired] == 1)
        // At doubling intervals five milliseconds pass within a handful of turns.
        #expect(simulation.kernels[0].enterCount < 60)
        simulation.shutDown()
    }

    @Test func `empty, short and long datagrams are counted and do not end the port`() throws {
        let simulation = try makeSwitch()
        let lengths = [0, 1, 13, 1519, 9000]
        for length in lengths {
            simulation.send(from: 0, raw: Array(repeating: 2, count: length))
        }
        simulation.send(from: 0, to: 1)
        simulation.settle()
        #expect(simulation.counters(0)[dropped: .runt] == 3)
        #expect(simulation.counters(0)[dropped: .oversize] == 2)
        #expect(simulation.counters(0)[.receivedFrames] == 6)
        #expect(simulation.peers[1].deliveredCount == 1)
        simulation.shutDown()
    }

    @Test func `a completion of a former connection is counted and ignored`() throws {
        let simulation = try makeSwitch()
        for kind in [CompletionKind.receive, CompletionKind.writable, CompletionKind.cancel] {
            simulation.kernels[0].postStale(
                Completion(
                    tag: CompletionTag(kind: kind, port: 1, generation: 0x7FFF, slot: 0),
                    result: 100, flags: 3))
        }
        simulation.settle()
        #expect(simulation.context.counters.workerBlock(0)[.staleCompletions] == 3)
        simulation.shutDown()
    }

    @Test func `a receive that found no room in the submission queue is armed later`() throws {
        var options = SimulatedSwitch.Options()
        options.ports = 2
        let simulation = try SimulatedSwitch(options)
        simulation.kernels[0].refusalRate = 1
        try simulation.attach(0)
        try simulation.attach(1)
        simulation.turn()
        simulation.turn()
        #expect(simulation.kernels[0].lastWait == .none, "the worker must not fall asleep")
        simulation.kernels[0].refusalRate = 0
        simulation.send(from: 0, to: nil)
        simulation.settle()
        #expect(simulation.peers[1].deliveredCount == 1)
        simulation.shutDown()
    }

    @Test(arguments: [1, 2]) func `frames for a careful port arrive undamaged`(workers: Int) throws
    {
        let simulation = try makeSwitch {
            $0.workers = workers
            $0.ports = 4
            $0.handoverBytes = 1024
        }
        // Makes port 1 careful, then lets it read again.
        simulation.peers[1].mood = .stuck
        for _ in 0..<12 { simulation.send(from: 0, to: 1) }
        for _ in 0..<4 {
            for worker in 0..<workers { simulation.turn(worker) }
        }
        simulation.peers[1].mood = .reading
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<50 {
            for _ in 0..<3 { simulation.send(from: 0, to: 1, length: 200) }
            simulation.settle(&generator)
        }
        #expect(simulation.peers[1].fault == nil)
        simulation.shutDown()
    }
}
