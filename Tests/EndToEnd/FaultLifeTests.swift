// A running switch to which bad things happen: it is killed, stopped, told nonsense, not listened
// to.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// Signals, logs, files that vanish.
    @Suite("Faults: life")
    struct FaultyLife {
        @Test func `a switch that was killed comes back on its stale sockets`() async throws {
            let directory = try TemporaryDirectory()
            let ports = "[[port]]\nname = \"p{n}\"\ncount = 8\ntype = \"unixgram\"\n"
            let first = try await SwitchProcess(ports, in: directory)
            let peers = try (1...8).map { try FaultPeer(at: directory.file("peer\($0)")) }
            for round in 0..<3 {
                let lan = round == 0 ? first : try await SwitchProcess(ports, in: directory)
                for (number, peer) in peers.enumerated() {
                    try peer.join(lan.socket("p\(number + 1).sock"))
                }
                try await lan.waitUntil("all are attached") {
                    $0.ports.allSatisfy { $0.state == .attached }
                }
                lan.process.send(signal: SIGKILL)
                #expect(await lan.process.ending() == .killed(signal: SIGKILL))
                #expect(FileManager.default.fileExists(atPath: lan.socket("p1.sock")))
            }
            let last = try await SwitchProcess(ports, in: directory)
            try await last.stop()
            #expect(!FileManager.default.fileExists(atPath: last.socket("p1.sock")))
        }

        @Test func `a switch that was stopped goes on where it was`() async throws {
            let lan = try await SwitchProcess(Hardship.port("a") + Hardship.port("b"))
            let (a, b) = try await Self.joined(lan)
            try await lan.process.pause()
            for number: UInt8 in 1...20 { try a.broadcast(number) }
            #expect(await b.receive(within: .milliseconds(300)) == nil)
            lan.process.resume()
            for number: UInt8 in 1...20 {
                #expect(await b.receive() == FaultPeer.frame(number))
            }
            #expect(try await lan.status().ports.allSatisfy { $0.state == .attached })
            try await lan.stop()
        }

        @Test func `a socket file that somebody removed is made anew`() async throws {
            let lan = try await SwitchProcess(Hardship.port("a") + Hardship.port("b"))
            let (a, b) = try await Self.joined(lan)
            let path = lan.socket("a.sock")

            // While a peer is attached nobody needs the file.
            try #require(unlink(path) == 0)
            try a.broadcast(1)
            #expect(await b.receive() == FaultPeer.frame(1))
            a.leave()
            try b.broadcast(2, from: 2)
            try await lan.waitUntil("the peer is let go") {
                $0.ports[0].state != .attached
            }
            try await lan.process.line(
                containing: "somebody removed the socket \(path): making it anew")
            try await lan.process.line(
                containing: "listening on \(path) again")
            let successor = try FaultPeer(at: lan.directory.file("successor"))
            try successor.join(path)
            try await lan.waitUntil("its successor is attached") {
                $0.ports[0].state == .attached
            }
            try await lan.stop()
            #expect(!FileManager.default.fileExists(atPath: path))
        }

        @Test func `a path that somebody took meanwhile is theirs until they leave it`()
            async throws
        {
            let lan = try await SwitchProcess(Hardship.port("a"))
            let path = lan.socket("a.sock")
            try #require(unlink(path) == 0)
            let thief = try FaultPeer(at: path)
            let report = try await lan.waitUntil("the loss is noticed") {
                $0.ports[0].state == .failed && $0.ports[0].lastError != nil
            }
            #expect(
                report.ports[0].lastError
                    == "another process listens on \(path): stop it, or give this port another path"
            )
            thief.leave()
            try await lan.waitUntil("the path is taken back") {
                $0.ports[0].state == .listening && $0.ports[0].lastError == nil
            }
            try await lan.stop()
        }

        @Test func `without standard error nothing is written where it does not belong`()
            async throws
        {
            let lan = try await SwitchProcess(
                Hardship.port("a"), under: Hardship.redirected("<&- >&- 2>&-"))
            let peer = try FaultPeer(at: lan.directory.file("peer"))
            try peer.join(lan.socket("a.sock"))
            try await lan.waitUntil("it is attached") {
                $0.ports[0].state == .attached
            }
            let lock = try String(contentsOfFile: lan.socket("lock"), encoding: .utf8)
            #expect(lock == "\(lan.process.pid)\n")
            #expect(await peer.receive(within: .milliseconds(100)) == nil)
            try await lan.stop()
        }

        @Test func `a log that nobody reads costs lines, not the switch`() async throws {
            let directory = try TemporaryDirectory()
            let pipe = directory.file("log")
            try #require(mkfifo(pipe, 0o600) == 0)
            // Open for reading too, so that opening for writing does not wait, and filled.
            let reading = open(pipe, O_RDWR | O_NONBLOCK | O_CLOEXEC)
            defer { close(reading) }
            let filling = [UInt8](repeating: UInt8(ascii: "x"), count: 4096)
            while write(reading, filling, filling.count) > 0 {}

            let lan = try await SwitchProcess(
                Hardship.port("a"), in: directory, under: Hardship.redirected("2> \(pipe)"))
            let peer = try FaultPeer(at: directory.file("peer"))
            try peer.join(lan.socket("a.sock"))
            try await lan.waitUntil("it is attached") {
                $0.ports[0].state == .attached
            }
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            _ = read(reading, &bytes, bytes.count)
            try directory.write("nonsense", to: "ringswitch.toml")
            lan.process.send(signal: SIGHUP)
            let log = try await ChildProcess.run(["head", "-n", "2", pipe]).standardOutput
            let lines = log.split(separator: "\n")
            #expect(lines.first?.hasPrefix("warning ") == true)
            #expect(lines.first?.hasSuffix(" of the log lost: nobody read them") == true)
            #expect(lines.last?.contains("error reload refused:") == true)
            try await lan.stop()
        }

        @Test func `a broken file changes nothing, and is told in full`() async throws {
            let lan = try await SwitchProcess(Hardship.port("a") + Hardship.port("b"))
            let (a, b) = try await Self.joined(lan)
            let file = lan.directory.file("ringswitch.toml")
            let good = try String(contentsOfFile: file, encoding: .utf8)
            try lan.directory.write(
                good + "colour = \"red\"\n[[port]]\ntype = \"unixgram\"\n", to: "ringswitch.toml")
            lan.process.send(signal: SIGHUP)
            try await lan.process.line(
                containing: "reload refused: \(file):")
            try await lan.process.line(
                containing: "reload refused: \(file):")
            let refused = try await lan.command("reload")
            #expect(refused.ending == .exited(2))
            #expect(refused.standardError.split(separator: "\n").count == 2)

            try a.broadcast(1)
            #expect(await b.receive() == FaultPeer.frame(1))
            try lan.directory.write(good + Hardship.port("c"), to: "ringswitch.toml")
            lan.process.send(signal: SIGHUP)
            try await lan.process.line(containing: "configuration reloaded")
            #expect(try await lan.port("c").state == .listening)
            #expect(try await lan.status().ports.prefix(2).allSatisfy { $0.state == .attached })
            try await lan.stop()
        }

        @Test func `a signal during the start ends it cleanly`() async throws {
            let ports = "[[port]]\nname = \"p{n}\"\ncount = 500\ntype = \"unixgram\"\n"
            for first in ["lock", "p1.sock", "lock", "p100.sock", "lock", "p500.sock"] {
                let directory = try TemporaryDirectory()
                let file = try Hardship.configure(ports, in: directory)
                let start = try ChildProcess([SwitchProcess.executable, "run", "--config", file])
                while !FileManager.default.fileExists(atPath: directory.file(first)) {
                    try #require(await start.ending(within: .milliseconds(1)) == nil)
                }
                start.send(signal: SIGTERM)
                #expect(await start.ending() == .exited(0), "\(first)")
                #expect(
                    try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
                        == ["lock", "ringswitch.toml"], "\(first)")
            }
        }

        /// Peers on the ports a and b.
        private static func joined(
            _ lan: SwitchProcess
        ) async throws -> (a: FaultPeer, b: FaultPeer) {
            let a = try FaultPeer(at: lan.directory.file("peer-a"))
            let b = try FaultPeer(at: lan.directory.file("peer-b"))
            try a.join(lan.socket("a.sock"))
            try b.join(lan.socket("b.sock"))
            try await lan.waitUntil("both are attached") {
                $0.ports.filter { $0.state == .attached }.count == 2
            }
            return (a, b)
        }
    }
}
