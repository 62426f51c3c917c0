// Takeovers that come to nothing: whoever is wrong, dies or falls silent, the VMs keep their
// switch.
//
// The other side is played by a program that speaks the protocol up to a chosen step.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// `run --takeover`: what goes wrong.
    @Suite(
        "Takeover faults",
        .enabled(if: ChildProcess.isInstalled("python3"), "python3 plays the other side"))
    struct TakeoverFaults {
        /// A successor that takes these steps, says so, and then waits for the end of its input. A
        /// step is taken again where a worker got no CPU in time and it is told to.
        private static let successor = """
            import array, json, socket, sys
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect(sys.argv[1])
            for step in sys.argv[2:]:
                body = {"version": 1, "operation": step.split(":")[0]}
                if step.startswith("takeover:") or step == "takeover":
                    body["state_version"] = int((step + ":2").split(":")[1])
                    body["program"] = "9.9"
                reply = b"try again"
                while b"try again" in reply:
                    s.send(json.dumps(body).encode())
                    reply, control, _, _ = s.recvmsg(70000, socket.CMSG_SPACE(253 * 4))
                fds = sum(len(d) // 4 for _, _, d in control)
                print("step", step, fds, reply.decode(), flush=True)
            print("done", flush=True)
            sys.stdin.readline()
            """

        /// A switch that answers these steps and then does as the last word says.
        private static let predecessor = """
            import json, os, socket, sys
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.bind(sys.argv[1])
            s.listen(1)
            print("listening", flush=True)
            c, _ = s.accept()
            print("heard", c.recv(70000).decode(), flush=True)
            what = sys.argv[2]
            if what == "refuse":
                c.send(json.dumps({"version": 1, "error": {
                    "code": "conflict", "messages": ["it takes a restart"]}}).encode())
            elif what == "nonsense":
                c.send(b"nonsense")
            elif what == "silence":
                sys.stdin.readline()
            """

        private func twoPeers() async throws -> (SwitchProcess, [Peer]) {
            let lan = try await SwitchProcess(SwitchProcess.ports(["a", "b"]))
            let peers = [try lan.peer("a", 1), try lan.peer("b", 2)]
            try await lan.allAttached()
            try await Peer.introduce(peers)
            return (lan, peers)
        }

        private func play(_ lan: SwitchProcess, _ steps: String...) throws -> ChildProcess {
            try ChildProcess(
                ["python3", "-uc", Self.successor, lan.directory.file("handover.sock")] + steps)
        }

        /// Demands that frames flow, also what was sent before, and that the books are exact.
        private func expectGoingOn(_ lan: SwitchProcess, _ peers: [Peer]) async throws {
            let frame = peers[0].frame(to: peers[1].mac, number: 99)
            try peers[0].send(frame)
            _ = try await peers[1].frames(before: frame)
            try await lan.expectExactBooks(
                sent: peers.map(\.sentFrames).reduce(0, +),
                received: peers.map(\.receivedFrames).reduce(0, +))
            // And it can still be taken over.
            let next = try await SwitchProcess(takingOver: lan)
            #expect(await lan.process.ending() == .exited(0))
            try await next.stop()
        }

        @Test func `another version of the state is refused before anything rests`() async throws {
            let (lan, peers) = try await twoPeers()
            let successor = try play(lan, "takeover:1", "takeover_state")
            let line = try await successor.line(containing: "step takeover:1")
            #expect(line.contains("reads version 1: it takes a restart"), "\(line)")
            let second = try await successor.line(containing: "takeover_state")
            #expect(second.contains("there is no takeover of this connection"), "\(second)")
            successor.send(line: "end")
            try await expectGoingOn(lan, peers)
        }

        @Test(arguments: [["takeover"], ["takeover", "takeover_state"]])
        func `a successor that dies leaves the switch forwarding`(steps: [String]) async throws {
            let (lan, peers) = try await twoPeers()
            let successor = try ChildProcess(
                ["python3", "-uc", Self.successor, lan.directory.file("handover.sock")] + steps)
            try await successor.line(containing: "done")
            for number in 0..<20 {
                try peers[0].send(peers[0].frame(to: peers[1].mac, number: UInt32(number)))
            }
            successor.kill()
            for number in 0..<20 {
                let frame = try await peers[1].receive()
                #expect(frame == peers[0].frame(to: peers[1].mac, number: UInt32(number)))
            }
            if steps.count > 1 {
                try await lan.process.line(
                    containing: "not taken over, going on")
            }
            try await expectGoingOn(lan, peers)
        }

        @Test func `a successor that says no last word is ended, and the switch goes on`()
            async throws
        {
            let (lan, peers) = try await twoPeers()
            let successor = try play(lan, "takeover", "takeover_state")
            let line = try await successor.line(
                containing: "step takeover_state")
            // State and lock, and of each port the socket and a handle on the process of its peer.
            #expect(line.hasPrefix("step takeover_state 6 "), "\(line)")
            try await successor.line(containing: "done")
            #expect(await successor.ending() == .killed(signal: SIGKILL))
            try await lan.process.line(
                containing: "the successor takes too long")
            try await expectGoingOn(lan, peers)
        }

        @Test func `a successor that is stopped on its way is ended, and the switch goes on`()
            async throws
        {
            let (lan, peers) = try await twoPeers()
            let other = try play(lan, "takeover")
            try await other.line(containing: "done")
            // Two at a time are one too many.
            let refused = try await ChildProcess.run([
                SwitchProcess.executable, "run", "--takeover", "--config",
                lan.directory.file("ringswitch.toml"),
            ])
            #expect(refused.ending == .exited(1))
            #expect(refused.standardError.contains("another takeover is under way"), "\(refused)")
            other.send(line: "end")
            #expect(await other.ending() == .exited(0))
            try await expectGoingOn(lan, peers)
        }

        @Test func `a switch that is stopped keeps its VMs, and the successor gives up`()
            async throws
        {
            let (lan, peers) = try await twoPeers()
            try await lan.process.pause()
            let refused = try await ChildProcess.run([
                SwitchProcess.executable, "run", "--takeover", "--config",
                lan.directory.file("ringswitch.toml"),
            ])
            lan.process.resume()
            #expect(refused.ending == .exited(1))
            #expect(refused.standardError.contains("does not hand over"), "\(refused)")
            try await expectGoingOn(lan, peers)
        }

        @Test(arguments: ["refuse", "nonsense", "leave", "silence"])
        func `a successor without a switch that hands over says why, and ends`(
            what: String
        ) async throws {
            let directory = try TemporaryDirectory()
            let predecessor = try ChildProcess([
                "python3", "-uc", Self.predecessor, directory.file("handover.sock"), what,
            ])
            try await predecessor.line(containing: "listening")
            let file = try directory.write(
                "[switch]\nruntime_dir = \"\(directory.path)\"\n"
                    + SwitchProcess.ports(["a"])
                    .replacing("[switch]\n", with: ""), to: "ringswitch.toml")
            let result = try await ChildProcess.run([
                SwitchProcess.executable, "run", "--takeover", "--config", file,
            ])
            #expect(result.ending == .exited(1))
            let words = [
                "refuse": "it takes a restart", "nonsense": "does not hand over",
                "leave": "does not hand over", "silence": "does not hand over",
            ]
            #expect(result.standardError.contains(words[what] ?? "?"), "\(result)")
            #expect(!FileManager.default.fileExists(atPath: directory.file("control.new")))
        }

        @Test func `nothing to take over is an error, and a broken file is one before`()
            async throws
        {
            let directory = try TemporaryDirectory()
            let head = "[switch]\nruntime_dir = \"\(directory.path)\"\n[[port]]\n"
            let file = try directory.write(
                head + "name = \"a\"\ntype = \"unixgram\"\n", to: "ringswitch.toml")
            let alone = try await ChildProcess.run([
                SwitchProcess.executable, "run", "--takeover", "--config", file,
            ])
            #expect(alone.ending == .exited(1))
            #expect(alone.standardError.contains("there is nothing to take over"), "\(alone)")
            let broken = try directory.write(head + "nme = \"a\"\n", to: "broken.toml")
            let wrong = try await ChildProcess.run([
                SwitchProcess.executable, "run", "--takeover", "--config", broken,
            ])
            #expect(wrong.ending == .exited(2))
        }
    }
}
