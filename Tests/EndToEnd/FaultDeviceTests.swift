// TAP ports whose device is taken away, and switches that end in the middle of something.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// Devices that vanish and devices that are held by a switch that was killed.
    @Suite(
        "Faults: devices",
        .enabled(if: NetworkNamespace.isAvailable, "\(NetworkNamespace.requirement)"))
    struct FaultyDevices {
        private func tap(_ namespace: NetworkNamespace) -> String {
            Hardship.tap(
                "rsfault0", "netns = \"\(namespace.name)\"\naddress = [\"10.9.1.1/24\"]\n")
        }

        private func devices(_ namespace: NetworkNamespace) async throws -> String {
            try await ChildProcess.run(namespace.inside(["ip", "-brief", "address"])).standardOutput
        }

        @Test func `a device that somebody deleted is made anew, address and all`() async throws {
            let namespace = try NetworkNamespace("device")
            let lan = try await SwitchProcess(tap(namespace) + Hardship.port("a"))
            #expect(try await lan.port("host").state == .up)
            for _ in 0..<2 {
                let deleted = try await ChildProcess.run(
                    namespace.inside(["ip", "link", "delete", "rsfault0"]))
                try #require(deleted.isSuccess, "\(deleted.standardError)")
                try await lan.process.line(
                    containing: "the device rsfault0 failed:")
                try await lan.process.line(
                    containing: "the device rsfault0 is back")
                #expect(try await devices(namespace).contains("10.9.1.1/24"))
                let port = try await lan.port("host")
                #expect(port.state == .up && port.lastError == nil)
            }
            try await lan.stop()
            #expect(try await !devices(namespace).contains("rsfault0"))
        }

        @Test func `a device changes its keys by a reload, and keeps them when that fails`()
            async throws
        {
            let namespace = try NetworkNamespace("device")
            let lan = try await SwitchProcess(tap(namespace))
            for (mtu, isPossible) in [(1400, true), (1300, true), (1200, false)] {
                let other = isPossible ? "" : Hardship.port("a") + "path = \"missing/a.sock\"\n"
                try Hardship.configure(
                    tap(namespace) + "mtu = \(mtu)\n" + other, in: lan.directory)
                let result = try await lan.command("reload")
                #expect(result.isSuccess == isPossible, "\(result.standardError)")
                let link = try await ChildProcess.run(
                    namespace.inside(["ip", "-oneline", "link", "show", "rsfault0"])
                ).standardOutput
                #expect(link.contains("mtu \(isPossible ? mtu : 1300) "), "\(link)")
                #expect(try await lan.port("host").state == .up)
            }
            try await lan.stop()
        }

        @Test func `a device whose name was taken meanwhile is waited for`() async throws {
            let namespace = try NetworkNamespace("device")
            let lan = try await SwitchProcess(tap(namespace))
            let swap = try await ChildProcess.run(
                namespace.inside([
                    "sh", "-ec",
                    "ip link delete rsfault0; ip link add rsfault0 type veth peer name other",
                ]))
            try #require(swap.isSuccess, "\(swap.standardError)")
            let port = try await lan.waitUntil("the thief is named") {
                $0.ports[0].lastError?.contains("not a TAP") == true
            }.ports[0]
            #expect(port.state == .failed)
            #expect(
                port.lastError
                    == "the device rsfault0 exists and is not a TAP: choose another name")
            _ = try await ChildProcess.run(namespace.inside(["ip", "link", "delete", "rsfault0"]))
            try await lan.waitUntil("the device is back") {
                $0.ports[0].state == .up && $0.ports[0].lastError == nil
            }
            try await lan.stop()
        }

        @Test func `the next switch gets the device of one that was killed`() async throws {
            let namespace = try NetworkNamespace("device")
            let directory = try TemporaryDirectory()
            for _ in 0..<3 {
                let lan = try await SwitchProcess(
                    tap(namespace) + Hardship.port("a"), in: directory)
                #expect(try await lan.port("host").state == .up)
                lan.process.send(signal: SIGKILL)
                // Its process is gone, and the kernel may still be busy with what it held.
                try #require(await lan.process.ending() == .killed(signal: SIGKILL))
            }
            let last = try await SwitchProcess(tap(namespace) + Hardship.port("a"), in: directory)
            try await last.stop()
            #expect(try await !devices(namespace).contains("rsfault0"))
        }

        @Test func `a namespace that is deleted under a port leaves the others alone`() async throws
        {
            var namespace: NetworkNamespace? = try NetworkNamespace("device")
            let lan = try await SwitchProcess(
                tap(try #require(namespace)) + Hardship.port("a") + Hardship.port("b"))
            namespace = nil
            let a = try FaultPeer(at: lan.directory.file("peer-a"))
            let b = try FaultPeer(at: lan.directory.file("peer-b"))
            try a.join(lan.socket("a.sock"))
            try b.join(lan.socket("b.sock"))
            try await lan.waitUntil("both are attached") {
                $0.ports.filter { $0.state == .attached }.count == 2
            }
            try a.broadcast(1)
            // The namespace's own stack may have said something before.
            var frame = await b.receive()
            while let other = frame, other != FaultPeer.frame(1) { frame = await b.receive() }
            #expect(frame == FaultPeer.frame(1))
            try await lan.stop()
        }
    }

    /// Many things at once, and what they leave behind.
    @Suite("Faults: churn")
    struct FaultyChurn {
        private static func ports(_ count: Int, _ keys: String = "") -> String {
            "[[port]]\nname = \"p{n}\"\ncount = \(count)\ntype = \"unixgram\"\n" + keys
        }

        private func descriptors(_ lan: SwitchProcess) throws -> Int {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(lan.process.pid)/fd").count
        }

        @Test func `reloads under peers that come and go leak nothing`() async throws {
            let lan = try await SwitchProcess(Self.ports(8))
            try await settled(lan)
            let before = try descriptors(lan)
            for round in 0..<15 {
                let peers = try (1...8).map { number in
                    let peer = try FaultPeer(at: lan.directory.file("peer\(round)-\(number)"))
                    try peer.join(lan.socket("p\(number).sock"))
                    try peer.broadcast(UInt8(round), from: UInt16(number))
                    return peer
                }
                if round % 2 == 0 { try await attached(lan) }
                try Hardship.configure(
                    Self.ports(8, "max_frame = \(2000 + round)\n"), in: lan.directory)
                async let first = lan.command("reload")
                for peer in peers.prefix(4) { peer.leave() }
                async let second = lan.command("reload")
                // Two at once: at least one succeeds, the other may be told to come later.
                let results = try await [first, second]
                #expect(results.contains { $0.isSuccess }, "\(results)")
                for peer in peers { peer.leave() }
            }
            try await settled(lan)
            try await lan.waitUntil("every descriptor is closed") { _ in
                (try? descriptors(lan)) ?? .max <= before
            }
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test func `the end may come in the middle of a reload`() async throws {
            for round in 0..<4 {
                let lan = try await SwitchProcess(Self.ports(300))
                let peers = try (1...300).map { number in
                    let peer = try FaultPeer(at: lan.directory.file("peer\(number)"))
                    try peer.join(lan.socket("p\(number).sock"))
                    return peer
                }
                try Hardship.configure(Self.ports(300, "max_frame = 3000\n"), in: lan.directory)
                if round % 2 == 0 {
                    lan.process.send(signal: SIGHUP)
                } else {
                    let reload = try ChildProcess([
                        SwitchProcess.executable, "reload", "--socket", lan.socket("control.sock"),
                    ])
                    _ = await reload.ending(within: .milliseconds(round * 20))
                }
                try await lan.stop()
                let left = try FileManager.default.contentsOfDirectory(atPath: lan.directory.path)
                #expect(left.filter { $0.hasSuffix(".sock") }.isEmpty)
                withExtendedLifetime(peers) {}
            }
        }

        @Test func `both signals at once, twice, are one wish`() async throws {
            let lan = try await SwitchProcess(Self.ports(100))
            for signal in [SIGINT, SIGTERM, SIGINT, SIGTERM] { lan.process.send(signal: signal) }
            #expect(await lan.process.ending() == .exited(0))
            let left = try FileManager.default.contentsOfDirectory(atPath: lan.directory.path)
            #expect(left.filter { $0.hasSuffix(".sock") }.isEmpty)
        }

        @Test func `a second wish, later, ends a switch that hangs`() async throws {
            let lan = try await SwitchProcess(Self.ports(2))
            // A reload that waits for ever: nobody writes to the pipe that its file has become.
            let file = lan.directory.file("ringswitch.toml")
            try #require(unlink(file) == 0 && mkfifo(file, 0o600) == 0)
            lan.process.send(signal: SIGHUP)
            lan.process.send(signal: SIGTERM)
            // A wish that it hears within a second is the first one still, and it may have heard of
            // the first late.
            var ending = await lan.process.ending(within: .milliseconds(1100))
            #expect(ending == nil)
            let deadline = ContinuousClock.now + .patience
            while ending == nil, ContinuousClock.now < deadline {
                lan.process.send(signal: SIGTERM)
                ending = await lan.process.ending(within: .milliseconds(1100))
            }
            #expect(ending == .exited(1))
            try await lan.process.line(
                containing: "ending at once, as asked again; sockets may be left behind")
        }

        private func attached(_ lan: SwitchProcess) async throws {
            try await lan.waitUntil("all are attached") {
                $0.ports.allSatisfy { $0.state == .attached }
            }
        }

        private func settled(_ lan: SwitchProcess) async throws {
            try await lan.waitUntil("all listen") {
                $0.ports.allSatisfy { $0.state == .listening }
            }
        }
    }
}
