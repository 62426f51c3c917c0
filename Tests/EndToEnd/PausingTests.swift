// Machines that wait where others lose frames (`on_congestion = "pause"`), with real senders.
//
// Nothing here depends on how fast anything is: queues hold frames for longer than any test reads
// slowly, and what must not last for ever is waited for with a limit.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// A port that pauses, and receivers that are slow, stand still, or are gone.
    @Suite("Pausing")
    struct Pausing {
        /// Few frames wait in the kernel, and none grows old.
        private static let patience = "send_buffer = \"64KiB\"\nqueue_delay = \"10s\""
        private static let congestion = ["queue_full", "queue_expired", "codel", "overtaken"]

        /// A switch whose port `a` pauses, or does not, with others that never do.
        private func lan(
            _ others: [String], pauses: Bool = true, keys: String = patience, more: String = "",
            switchKeys: String = ""
        ) async throws -> SwitchProcess {
            let word = pauses ? "pause" : "drop"
            return try await SwitchProcess(
                SwitchProcess.ports(others, keys, switchKeys: switchKeys)
                    + "[[port]]\nname = \"a\"\non_congestion = \"\(word)\"\n" + more)
        }

        /// A flow at full rate from `a` to a machine that reads 16 frames and then nothing for a
        /// millisecond.
        private func floodSlowReader(
            _ lan: SwitchProcess
        ) async throws -> (load: LoadReport, report: StatusReport) {
            let load = try await LoadGenerator.run(
                endpoints: [
                    lan.endpoint("a", 0), lan.endpoint("b", 1, "read=slow:1000 batch=16"),
                ],
                flows: ["from=a to=b size=1514 rate=max count=20000 check=full"])
            try await lan.expectExactBooks(
                sent: load.totals.sent, received: load.totals.received)
            let report = try await lan.waitUntil("nobody is paused any more") { report in
                report.ports.allSatisfy { $0.pause?.isPaused != true }
            }
            try await lan.stop()
            return (load, report)
        }

        private func losses(_ report: StatusReport) -> UInt64 {
            Self.congestion.reduce(0) { $0 + (report.totals.drops[$1] ?? 0) }
        }

        @Test(arguments: [1, 2])
        func `a flow alone loses nothing at a slow machine when its sender can wait`(
            workers: Int
        ) async throws {
            let (load, report) = try await floodSlowReader(
                try await lan(["b"], switchKeys: "workers = \(workers)"))
            #expect(load.faults == 0)
            #expect(load.flow(0)?.frames == 20_000 && load.flow(0)?.lost == 0)
            #expect(losses(report) == 0, "\(report.totals.drops)")
            let pause = try #require(try report.port("a").pause)
            #expect(pause.count > 0)
            #expect(try report.port("b").pause == nil)
            print("\(workers) workers: paused \(pause.count) times, \(pause.seconds) s in all")
        }

        @Test
        func `the same flow loses frames when it cannot`() async throws {
            let (load, report) = try await floodSlowReader(try await lan(["b"], pauses: false))
            #expect(load.faults == 0)
            #expect(losses(report) > 0)
            #expect(load.flow(0)?.lost == losses(report))
            #expect(try report.port("a").pause == nil)
        }

        @Test
        func `a sender that never connects waits as long as it must, and goes on`() async throws {
            let count: UInt32 = 2000
            let lan = try await lan(["b"])
            let sender = try lan.peer("a", 0, .qemu)
            let reader = try lan.peer("b", 1)
            // Only a frame makes such a sender known.
            try sender.send(sender.frame(to: TestFrame.broadcast))
            try await lan.allAttached()
            try await Peer.introduce([sender, reader])
            let sending = Task.detached {
                for number in 1...count {
                    try sender.send(sender.frame(to: reader.mac, number: number, length: 1514))
                }
            }
            // The reader reads nothing: the sender stops in the middle.
            try await lan.waitUntil("the port is paused") { report in
                report.ports.contains { $0.name == "a" && $0.pause?.isPaused == true }
            }
            #expect(sender.sentFrames < count)
            #expect(try await lan.port("b").queue.frames > 0)

            for number in 1...count {
                let frame = try await reader.receive()
                try #require(
                    frame == sender.frame(to: reader.mac, number: number, length: 1514))
            }
            try await sending.value
            let report = try await lan.expectExactBooks(
                sent: sender.sentFrames + reader.sentFrames,
                received: sender.receivedFrames + reader.receivedFrames)
            #expect(losses(report) == 0, "\(report.totals.drops)")
            try await lan.stop()
        }

        @Test
        func `a machine that stands still holds its sender up once or twice, and nobody else`()
            async throws
        {
            // The others lose nothing though they, too, may have to wait for a CPU.
            let lan = try await lan(
                ["c", "d"], keys: SwitchProcess.patientKeys,
                more: SwitchProcess.port(
                    "b", "unixgram",
                    "send_buffer = \"64KiB\"\nqueue = \"fair\"\nqueue_bytes = \"4MiB\"\n"
                        + "queue_delay = \"300ms\""))
            let stuck = try await LoadGenerator.listening([lan.endpoint("b", 1)])
            try await stuck.process.pause()
            let load = try await LoadGenerator.run(
                endpoints: [lan.endpoint("a", 0), lan.endpoint("c", 2), lan.endpoint("d", 3)],
                flows: [
                    "id=0 from=a to=\(SwitchProcess.mac(1)) size=1514 rate=20000 duration=3",
                    "id=1 from=a to=c size=300 rate=500 count=1500",
                    "id=2 from=d to=c size=300 rate=2000 count=6000",
                ])
            // What the sender has for another machine arrives, if late, and so it was let go.
            #expect(load.faults == 0)
            #expect(load.flow(1, at: "c")?.frames == 1500)
            #expect(load.flow(2, at: "c")?.frames == 6000)
            let report = try await lan.waitUntil("b's queue is empty") {
                $0.totals.queuedFrames == 0 && $0.totals.unaccountedFrames == 0
                    && $0.ports.allSatisfy { $0.pause?.isPaused != true }
            }
            let pause = try #require(try report.port("a").pause)
            #expect((1...2).contains(pause.count))
            let port = try report.port("b")
            #expect(Self.congestion.contains { port.drops($0) > 0 })
            for name in ["c", "d"] { #expect(try report.port(name).counters.droppedFrames == 0) }

            stuck.process.resume()
            _ = try await stuck.end()
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test
        func `a sender that dies while it waits frees its port, and every frame has its name`()
            async throws
        {
            let lan = try await lan(["b", "c"])
            let reader = try lan.peer("b", 1)
            let other = try lan.peer("c", 2)
            let sender = try LoadGenerator(
                endpoints: [lan.endpoint("a", 0)],
                flows: ["from=a to=\(reader.mac) size=1514 rate=max duration=60"],
                options: ["--no-hearing"])
            try await lan.allAttached()
            try reader.send(reader.frame(to: TestFrame.broadcast))
            try await lan.waitUntil("the port is paused") { report in
                report.ports.contains { $0.name == "a" && $0.pause?.isPaused == true }
            }
            sender.process.kill()
            try await lan.waitUntil("the port listens again") { report in
                report.ports.contains {
                    $0.name == "a" && $0.state == .listening && $0.pause?.isPaused == false
                }
            }
            // What it had sent and nobody had read.
            #expect(try await lan.port("a").drops("no_peer") > 0)

            let successor = try lan.peer("a", 0)
            let word = successor.frame(to: other.mac, number: 1)
            try await lan.allAttached()
            try other.send(other.frame(to: TestFrame.broadcast))
            try successor.send(word)
            _ = try await other.frames(before: word)
            // With it goes what still waits for it, as soon as its end is noticed: its process,
            // this one, lives on.
            reader.shutDown()
            try await lan.waitUntil("the books balance") {
                $0.totals.queuedFrames == 0 && $0.totals.unaccountedFrames == 0
            }
            try await lan.stop()
        }

        @Test(.enabled(if: Guest.isAvailable, "\(Guest.requirement)"))
        func `real machines that wait exchange files without a loss`() async throws {
            let lan = try await SwitchProcess(
                SwitchProcess.ports(
                    ["vm-1", "vm-2"], "on_congestion = \"pause\"\nqueue_delay = \"10s\""))
            let guests = try (1...2).map { number in
                try Guest(
                    number: number,
                    network: .datagram(
                        from: lan.socket("guest-\(number).sock"),
                        to: lan.socket("vm-\(number).sock")))
            }
            for guest in guests { try await guest.isUp() }
            try await guests[0].ping(guests[1].address)
            _ = try await guests[0].transfer(16 << 20, to: guests[1].address)
            _ = try await guests[1].transfer(16 << 20, to: guests[0].address)
            let report = try await lan.expectExactBooks()
            let losses = Self.congestion.dropLast().filter { report.totals.drops[$0] != nil }
            #expect(losses == [], "\(report.totals.drops)")
            print("real VMs that wait: paused \(report.ports.map { $0.pause?.count ?? 0 }) times")
            for guest in guests { try await guest.kill() }
            try await lan.stop()
        }
    }
}
