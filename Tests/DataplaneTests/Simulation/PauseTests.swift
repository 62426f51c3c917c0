// What a port that pauses costs and what it saves, to the frame and to the nanosecond.
//
// The seed of a failure is in its comment; RINGSWITCH_SEED repeats it.

import Glibc
import Support
import SwitchCore
import Testing

@testable import Dataplane

@Suite struct PauseTests {
    private static let disciplines = [QueueDiscipline.fifo, .fair(target: 100_000)]
    /// What a receiver that does not keep up costs a sender that is not paused.
    private static let congestion: [DropReason] = [.queueFull, .queueExpired, .codel, .overtaken]

    /// Sends a bulk flow of port 0 to a receiver that takes a pool's frames, of several workers two
    /// pools', well within the queue delay, at a random pace.
    private func sendBulk(_ run: PausedRun, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let reader = run.simulation.peers[1]
        let pace = Int.random(in: 2...6, using: &generator) * run.simulation.options.workers
        reader.mood = .stuck
        for step in 0..<400 {
            run.offer(200, lengths: seed % 2 == 0 ? 60...60 : 60...600)
            run.pass(100_000)
            // Now and then a reader that does its work in larger portions.
            let portion = step % 20 < 10 ? 1 : 5
            if step % portion == 0 { reader.read(pace * portion) }
        }
    }

    @Test(arguments: Seeds.list(8), [1, 2])
    func `a lone flow of a pausing port loses nothing at a receiver that does not keep up`(
        seed: UInt64, workers: Int
    ) throws {
        let run = try PausedRun {
            $0.seed = seed
            $0.workers = workers
            $0.peerCapacity = Int(16 + seed % 25) * workers
            $0.queueDiscipline = Self.disciplines[Int(seed / 2 % 2)]
        }
        sendBulk(run, seed: seed)
        #expect(run.mostWaiting <= PausedRun.window * workers, "seed \(seed)")
        #expect(run.mostWaiting >= PausedRun.window, "seed \(seed)")
        #expect(run.pauses.count > 3, "seed \(seed)")
        #expect(run.drops() == 0, "seed \(seed)")
        run.simulation.peers[1].mood = .reading
        run.simulation.settle()
        let numbers = run.delivered()
        #expect(run.drops() == 0, "seed \(seed)")
        #expect(numbers == Array(1...UInt32(max(1, numbers.count))), "seed \(seed)")
        #expect(numbers.count == run.simulation.injected[0], "seed \(seed)")
        run.finish()
    }

    @Test(arguments: Seeds.list(4)) func `the same flow loses frames where its port drops`(
        seed: UInt64
    ) throws {
        let run = try PausedRun(pauses: false) {
            $0.seed = seed
            $0.peerCapacity = Int(16 + seed % 25)
            $0.queueDiscipline = Self.disciplines[Int(seed / 2 % 2)]
        }
        sendBulk(run, seed: seed)
        #expect(run.drops(Self.congestion) > 500, "seed \(seed)")
        #expect(run.pauses.isEmpty && run.simulation.counters(0)[.pauses] == 0)
        run.finish()
    }

    @Test(arguments: Seeds.list(10))
    func `a pause lasts for the queue delay at most, whatever the receiver does`(
        seed: UInt64
    ) throws {
        let run = try PausedRun {
            $0.seed = seed
            $0.queueDiscipline = Self.disciplines[Int(seed % 2)]
        }
        var generator = SeededGenerator(seed: seed)
        let reader = run.simulation.peers[1]
        reader.mood = .stuck
        for _ in 0..<400 {
            run.offer(Int.random(in: 0...300, using: &generator))
            run.pass(UInt64.random(in: 1...900_000, using: &generator))
            // Never, hardly, or all at once.
            let count = [0, 0, 0, 1, 2, 100].randomElement(using: &generator) ?? 0
            reader.read(count)
        }
        let longest = run.pauses.max() ?? 0
        #expect(run.pauses.count > 10, "seed \(seed)")
        // A frame of exactly that age may still leave.
        #expect(longest <= run.simulation.options.queueDelay + 1, "seed \(seed)")
        #expect(longest > run.simulation.options.queueDelay / 2, "seed \(seed)")
        let counters = run.simulation.counters(0)
        #expect(counters[.pauses] >= UInt64(run.pauses.count))
        run.finish()
    }

    @Test(arguments: disciplines)
    func `a receiver that stands still pauses its sender once, and then costs it nothing`(
        discipline: QueueDiscipline
    ) throws {
        let run = try PausedRun { $0.queueDiscipline = discipline }
        run.simulation.peers[1].mood = .stuck
        run.offer(1000)
        run.pass(run.simulation.options.queueDelay + 2)
        #expect(run.pauses.count == 1)
        #expect(run.drops() > 0, "what waited has expired")
        for _ in 0..<20 {
            run.offer(500)
            run.offer(600, to: 2)
            let before = run.delivered(2).count
            run.rest()
            #expect(run.simulation.peers[0].outbox.count == 0)
            #expect(run.delivered(2).count == before + 100, "what is for others gets through")
            run.pass(1_000_000)
        }
        #expect(run.pauses.count == 1)
        #expect(run.drops(Self.congestion) > 5000)

        // It takes frames again, and its senders wait for it again.
        run.simulation.peers[1].read()
        run.pass(1_000_000)
        run.offer(1000)
        run.rest()
        #expect(run.simulation.isPaused(0))
        run.finish()
    }

    @Test func `a port that is paused delays nobody else`() throws {
        let run = try PausedRun()
        let simulation = run.simulation
        simulation.peers[1].mood = .stuck
        run.offer(1000)
        run.rest()
        #expect(simulation.isPaused(0))
        for number in 1...200 {
            simulation.send(from: 2, to: 3)
            // The way to the paused port itself is free as well.
            simulation.send(from: 3, to: 0)
            // The sender to the same receiver is served as without: in turns, or it is dropped.
            if number % 4 == 0 { simulation.send(from: 2, to: 1) }
            run.rest()
            #expect(simulation.peers[3].deliveredCount == number)
            #expect(simulation.peers[0].deliveredCount == number)
        }
        #expect(simulation.isPaused(0))
        #expect(simulation.peers[0].outbox.count > 900)
        let waiting = simulation.counters(1)[.queuedFrames]
        #expect(Int(waiting) == PausedRun.window + 50)
        for _ in 0..<5 {
            simulation.peers[1].read()
            run.pass(400_000)
        }
        #expect((simulation.peers[1].delivered[PortID(index: 2)] ?? []).count > 0)
        run.finish()
    }

    @Test func `a port has as many frames in the switch as it has receive buffers`() throws {
        let run = try PausedRun()
        run.simulation.peers[1].mood = .stuck
        run.offer(1000)
        run.rest()
        #expect(run.simulation.isPaused(0))
        #expect(run.simulation.counters(1)[.queuedFrames] == UInt64(PausedRun.window))
        // Half of them must have left before it is read again.
        run.simulation.peers[1].read()
        let capacity = run.simulation.options.peerCapacity
        while Int(run.simulation.counters(1)[.queuedFrames]) > PausedRun.window / 2 + capacity {
            run.pass(100_000)
            run.simulation.peers[1].read()
            #expect(run.simulation.isPaused(0))
            #expect(run.simulation.peers[0].outbox.count == 1000 - PausedRun.window - capacity)
        }
        run.pass(200_000)
        #expect(!run.simulation.isPaused(0) || run.simulation.counters(0)[.pauses] == 2)
        #expect(run.simulation.peers[0].outbox.count < 1000 - PausedRun.window - capacity)
        run.finish()
    }

    @Test func `a few frames that wait pause nobody`() throws {
        let run = try PausedRun()
        run.simulation.peers[1].mood = .stuck
        run.offer(run.simulation.options.peerCapacity + PausedRun.window / 2)
        run.rest()
        #expect(run.simulation.counters(1)[.queuedFrames] == UInt64(PausedRun.window / 2))
        run.offer(500, to: 2)
        run.rest()
        #expect(run.delivered(2).count == 500)
        #expect(run.simulation.counters(0)[.pauses] == 0)
        run.finish()
    }

    @Test func `flooded frames never pause their sender`() throws {
        let run = try PausedRun { $0.queueBytes = 64 << 10 }
        run.simulation.peers[1].mood = .stuck
        run.offer(2000, to: nil)
        run.rest()
        #expect(run.simulation.peers[0].outbox.count == 0)
        #expect(run.simulation.peers[2].deliveredCount == 2000)
        #expect(run.drops([.floodLimited]) > 0)
        #expect(run.simulation.counters(0)[.pauses] == 0)
        run.finish()
    }

    @Test func `a receiver that goes away lets its senders go on at once`() throws {
        for goes in [0, 1] {
            let run = try PausedRun()
            run.simulation.peers[1].mood = .stuck
            run.offer(500)
            run.rest()
            #expect(run.simulation.isPaused(0))
            if goes == 0 {
                run.simulation.detach(1)
            } else {
                run.simulation.peers[1].mood = .failing(ECONNREFUSED)
                run.simulation.advance(60_000)
            }
            run.rest()
            #expect(!run.simulation.isPaused(0))
            #expect(run.simulation.peers[0].outbox.count == 0)
            #expect(run.drops([.noPeer, .portRemoved]) >= UInt64(PausedRun.window))
            run.finish()
        }
    }

    @Test func `a port that is taken away while it is paused leaves nothing behind`() throws {
        let run = try PausedRun()
        let simulation = run.simulation
        simulation.peers[1].mood = .stuck
        run.offer(500)
        run.rest()
        #expect(simulation.isPaused(0))
        simulation.detach(0)
        run.rest()
        #expect(simulation.connections[0] == nil)
        #expect(simulation.counters(0)[.pausedPorts] == 0)
        // Its frames still wait, and count for its successor until they leave.
        #expect(simulation.counters(1)[.queuedFrames] == UInt64(PausedRun.window))
        try simulation.attach(0)
        run.rest()
        simulation.learnStations()
        run.pass(simulation.options.queueDelay + 1_000_000)
        #expect(simulation.peers[0].outbox.count == 0)
        run.finish()
    }
}
