// What those hear who follow a switch.

import Control
import Foundation
import Testing

extension EndToEnd {
    /// `ringswitch events`.
    @Suite("Events")
    struct Events {
        /// Follows a switch, and waits until it does.
        private func follow(_ lan: SwitchProcess, _ types: [String] = []) async throws
            -> ChildProcess
        {
            let follower = try ChildProcess(
                [
                    SwitchProcess.executable, "events", "--socket",
                    lan.directory.file("control.sock"),
                ]
                    + types.flatMap { ["--type", $0] })
            if types.isEmpty || types.contains("ready") {
                try await follower.line(containing: "\"type\":\"ready\"")
            }
            return follower
        }

        /// The next event of a type.
        private func event(_ type: SwitchEvent.Kind, of follower: ChildProcess) async throws
            -> SwitchEvent
        {
            let line = try await follower.line(
                containing: "\"type\":\"\(type.rawValue)\"")
            return try ReportJSON.decode(SwitchEvent.self, from: Data(line.utf8))
        }

        @Test func `the life of a port and of its peers is told in order`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let follower = try await follow(lan)
            var a: Peer? = try lan.peer("a", 1)
            let attached = try await event(.connectionEstablished, of: follower)
            #expect(attached.port == "a" && attached.peer?.pid == getpid())
            try a?.send(a!.frame(to: TestFrame.broadcast))
            let learned = try await event(.macLearned, of: follower)
            #expect(learned.mac == SwitchProcess.mac(1) && learned.port == "a")

            // The same machine speaks behind another port, once a second is over.
            let b = try lan.peer("b", 2)
            #expect(try await event(.connectionEstablished, of: follower).port == "b")
            let disguised = TestFrame(to: TestFrame.broadcast, from: SwitchProcess.mac(1))
            let moved = Task { try await event(.macMoved, of: follower) }
            let speaker = Task {
                while !Task.isCancelled {
                    try b.send(disguised)
                    _ = try? await b.receive(within: .milliseconds(50))
                }
            }
            let move = try await moved.value
            speaker.cancel()
            #expect(move.port == "b" && move.from == "a" && move.mac == SwitchProcess.mac(1))

            a = nil
            let closed = try await event(.connectionClosed, of: follower)
            #expect(closed.port == "a" && closed.reason?.isEmpty == false)
            try lan.write(SwitchProcess.ports(["b", "c"]))
            #expect(try await lan.command("reload").isSuccess)
            #expect(try await event(.portAdded, of: follower).port == "c")
            #expect(try await event(.portRemoved, of: follower).port == "a")
            let reloaded = try await event(.configurationReloaded, of: follower)
            #expect(reloaded.added == 1 && reloaded.removed == 1 && reloaded.changed == 0)
            try await lan.stop()
            #expect(try await event(.stopping, of: follower).pid == lan.process.pid)
            #expect(await follower.ending() == .exited(0))
        }

        @Test func `who is refused is told, and only what was asked for`() async throws {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a"]))
            let follower = try await follow(lan, ["ready", "connection_refused"])
            let unbound = try lan.peer("a", 1, .unbound)
            try unbound.send(unbound.frame(to: TestFrame.broadcast))
            let refused = try await event(.connectionRefused, of: follower)
            #expect(refused.port == "a" && refused.reason?.contains("no path of its own") == true)
            let peer = try lan.peer("a", 2)
            try await lan.allAttached()
            try await lan.stop()
            withExtendedLifetime(peer) {}
            let told = try await follower.result()
            #expect(told.isSuccess)
            #expect(told.standardOutput.split(separator: "\n").count == 2)
        }

        @Test func `a port whose peer does not read is congested, and recovers`() async throws {
            let lan = try await SwitchProcess(
                SwitchProcess.ports(["a", "b"], "send_buffer = \"16KiB\"\nqueue_bytes = \"8KiB\""))
            let (a, b) = (try lan.peer("a", 1), try lan.peer("b", 2))
            try await lan.allAttached()
            try await Peer.introduce([a, b])
            let follower = try await follow(lan, ["ready", "port_congested", "port_recovered"])
            let sender = Task {
                while !Task.isCancelled {
                    for _ in 0..<50 { try a.send(a.frame(to: b.mac, length: 1000)) }
                    _ = try? await a.receive(within: .milliseconds(20))
                }
            }
            let congested = try await event(.portCongested, of: follower)
            sender.cancel()
            _ = await sender.result
            #expect(congested.port == "b")
            #expect(congested.drops?.isEmpty == false || congested.queuedFrames ?? 0 > 0)
            while (try? await b.receive(within: .milliseconds(200))) != nil {}
            #expect(try await event(.portRecovered, of: follower).port == "b")
            try await lan.stop()
        }

        @Test func `a follower that stands still costs lines, not the switch`() async throws {
            let lan = try await SwitchProcess(
                SwitchProcess.ports(
                    ["a", "b"], SwitchProcess.patientKeys, switchKeys: "mac_limit = 16384"))
            let follower = try await follow(lan)
            try await follower.pause()
            let load = try await LoadGenerator.run(
                endpoints: [lan.endpoint("a", 1), lan.endpoint("b", 2)],
                flows: [
                    "id=0 from=a to=b size=300 rate=5000 duration=3",
                    "id=1 from=b kind=macflood rate=20000 duration=3",
                ])
            #expect(load.faults == 0 && load.flow(0)?.lost == 0)
            follower.resume()
            let lost = try await event(.eventsLost, of: follower)
            #expect(try #require(lost.count) > 0)
            try await lan.stop()
            #expect(await follower.ending() == .exited(0))
        }
    }
}
