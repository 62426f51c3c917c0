// Ports by descriptor: machines that were given one end of a pair of sockets, devices that somebody
// else has opened, and what was left open for the switch when it started.

import CShimsSystem
import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// `handover.sock`, `ringswitch attach-fd`, `ringswitch exec`, and inherited descriptors.
    @Suite("Handover")
    struct Handover {
        private static let waiting = """
            [[port]]
            name = "a"
            type = "unixgram"

            [[port]]
            name = "slot"
            type = "unixgram"
            source = "handover"
            """

        @Test
        func `machines by descriptor and by path talk to each other, and leave exact books`()
            async throws
        {
            let lan = try await SwitchProcess(Self.waiting)
            let a = try lan.peer("a", 1)
            let slot = try await lan.pairedPeer("slot", 2)
            let own = try await lan.pairedPeer("own", 3, ["queue_delay": "1s"])
            let report = try await lan.allAttached()
            #expect(report.ports.map(\.name) == ["a", "slot", "own"])
            #expect(try report.port("slot").peer?.pid == getpid())
            try await Peer.introduce([a, slot, own])
            // More than the eleven datagrams that a port without a connection would hold.
            for number in 0..<200 {
                try own.send(own.frame(to: a.mac, number: UInt32(number)))
                try a.send(a.frame(to: own.mac, number: UInt32(number)))
            }
            for number in 0..<200 {
                #expect(try await a.receive() == own.frame(to: a.mac, number: UInt32(number)))
                #expect(try await own.receive() == a.frame(to: own.mac, number: UInt32(number)))
            }
            let peers = [a, slot, own]
            try await lan.expectExactBooks(
                sent: peers.reduce(0) { $0 + $1.sentFrames },
                received: peers.reduce(0) { $0 + $1.receivedFrames })
            try await lan.stop()
        }

        @Test
        func
            `a port made for a descriptor goes with its peer, a configured one waits for the next`()
            async throws
        {
            let lan = try await SwitchProcess(Self.waiting)
            for life in 0..<3 {
                let slot = try await lan.pairedPeer("slot", 2)
                let own = try await lan.pairedPeer("own", 3)
                try await lan.allAttached(["slot", "own"])
                try await Peer.introduce([slot, own])
                // Without a process that ends and without a frame for them.
                slot.shutDown()
                own.shutDown()
                let report = try await lan.waitUntil("life \(life) is over") {
                    $0.ports.map(\.name) == ["a", "slot"] && $0.ports[1].state == .listening
                }
                #expect(try report.port("slot").peer == nil)
            }
            // A frame that the peer does not take tells at once.
            let a = try lan.peer("a", 1)
            let own = try await lan.pairedPeer("own", 3)
            try await lan.allAttached(["a", "own"])
            try await Peer.introduce([a, own])
            own.shutDown()
            try a.send(a.frame(to: own.mac))
            try await lan.waitUntil("own has gone") { $0.ports.count == 2 }
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test
        func `what was passed lasts through changes and reloads, and is not saved`() async throws {
            let lan = try await SwitchProcess(Self.waiting)
            let slot = try await lan.pairedPeer("slot", 2)
            let own = try await lan.pairedPeer("own", 3)
            try await lan.allAttached(["slot", "own"])
            try await Peer.introduce([slot, own])

            // A key that changes live, and one for which the port is closed and opened again.
            for words in ["queue_delay=9ms", "max_frame=9018"] {
                for port in ["slot", "own"] {
                    let result = try await lan.command("port", "set", port, words)
                    #expect(result.isSuccess, "\(result.standardError)")
                }
            }
            let long = slot.frame(to: own.mac, number: 7, length: 9018)
            try slot.send(long)
            #expect(try await own.frames(before: long) == [])

            let saved = try await lan.command("save", "--output", lan.socket("saved.toml"))
            #expect(saved.isSuccess, "\(saved.standardError)")
            let text = try String(contentsOfFile: lan.socket("saved.toml"), encoding: .utf8)
            #expect(text.contains("source = \"handover\"") && !text.contains("\"own\""), "\(text)")
            try lan.write(Self.waiting + "\nmax_frame = 9018\n")
            let reload = try await lan.command("reload")
            #expect(reload.isSuccess, "\(reload.standardError)")
            let next = slot.frame(to: own.mac, number: 8, length: 9018)
            try slot.send(next)
            #expect(try await own.frames(before: next) == [])
            try await lan.stop()
        }

        @Test
        func `descriptors that are nothing for the port are refused, and closed`() async throws {
            let lan = try await SwitchProcess(Self.waiting)
            func refusal(
                _ descriptor: Int32, _ port: String, _ keys: [String: String] = [:]
            ) async throws -> String {
                let error = await #expect(throws: ControlClientError.self) {
                    try await lan.give(descriptor, to: port, keys)
                }
                return "\(error.map { "\($0)" } ?? "none")"
            }
            let null = open("/dev/null", O_RDWR | O_CLOEXEC)
            let closing = Int32(SOCK_CLOEXEC.rawValue)
            let udp = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | closing, 0)
            let lonely = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | closing, 0)
            var stream: [Int32] = [-1, -1]
            socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | closing, 0, &stream)
            defer { for descriptor in [null, udp, lonely] + stream { close(descriptor) } }

            #expect(try await refusal(null, "slot").contains("neither a socket nor a TAP"))
            #expect(try await refusal(null, "x").contains("neither a socket nor a TAP"))
            #expect(try await refusal(udp, "slot").contains("no UNIX socket"))
            #expect(try await refusal(stream[0], "slot").contains("a UNIX stream socket"))
            #expect(try await refusal(lonely, "slot").contains("without a peer"))
            #expect(try await refusal(lonely, "x").contains("without a peer"))
            #expect(try await refusal(lonely, "a").contains("opens its own socket"))
            #expect(try await refusal(lonely, "slot", ["mtu": "1"]).contains("its own settings"))
            #expect(try await refusal(lonely, "x", ["mtuu": "1"]).contains("unknown key"))
            #expect(try await refusal(lonely, "x", ["mode": "0600"]).contains("given open"))
            #expect(try await refusal(lonely, "x y").contains("name"))

            let first = try await lan.pairedPeer("slot", 1)
            let second = await #expect(throws: ControlClientError.self) {
                try await lan.pairedPeer("slot", 2)
            }
            #expect("\(second.map { "\($0)" } ?? "")".contains("has a peer"))
            #expect(try await lan.status().ports.map(\.name) == ["a", "slot"])
            // The stream's other end would not notice were a copy of it still open.
            close(stream[0])
            stream[0] = -1
            var readable = pollfd(fd: stream[1], events: Int16(POLLIN), revents: 0)
            #expect(poll(&readable, 1, 60_000) == 1)
            withExtendedLifetime(first) {}
            try await lan.stop()
        }

        @Test
        func `a socket that is shut down behind the switch's back costs its port`() async throws {
            let lan = try await SwitchProcess(Self.waiting)
            let a = try lan.peer("a", 1)
            var ends: [Int32] = [-1, -1]
            let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)
            socketpair(AF_UNIX, type, 0, &ends)
            defer { for end in ends { close(end) } }
            try await lan.give(ends[0], to: "slot")
            try await lan.allAttached()
            shutdown(ends[0], Int32(SHUT_RD))
            try await lan.waitUntil("the port waits again") {
                $0.ports[1].state == .listening
            }
            let next = try await lan.pairedPeer("slot", 2)
            try await Peer.introduce([a, next])
            try await lan.stop()
        }

        @Test
        func `a program run by exec has the port as descriptor 3, and the port goes with it`()
            async throws
        {
            let lan = try await SwitchProcess(Self.waiting)
            let a = try lan.peer("a", 1)
            let script = """
                use Socket;
                open(my $port, "+<&=", $ENV{RINGSWITCH_FD}) or die "descriptor: $!";
                $| = 1;
                print "descriptor: $ENV{RINGSWITCH_FD}\\n";
                while (1) {
                    recv($port, my $frame, 65536, 0);
                    my $header = substr($frame, 6, 6) . "\\2\\0\\0\\0\\0\\7";
                    send($port, $header . substr($frame, 12), 0);
                }
                """
            let program = try ChildProcess([
                SwitchProcess.executable, "exec", "--socket", lan.socket("control.sock"),
                "--port", "vm", "queue_delay=9ms", "--", "perl", "-e", script,
            ])
            let line = try await program.line(containing: "descriptor:")
            #expect(line == "descriptor: 3")
            let vm = try await lan.port("vm")
            #expect(vm.state == .attached && vm.peer?.pid == program.pid)
            #expect(vm.peer?.command == "perl")
            let question = a.frame(to: "02:00:00:00:00:07", number: 1)
            try a.send(question)
            #expect(try await a.receive().source == "02:00:00:00:00:07")
            program.kill()
            try await lan.waitUntil("its port has gone") {
                !$0.ports.contains { $0.name == "vm" }
            }
            try await lan.stop()
        }

        @Test func `exec and attach-fd say what is wrong`() async throws {
            let lan = try await SwitchProcess(Self.waiting)
            let missing = try await ChildProcess.run([
                SwitchProcess.executable, "exec", "--socket", lan.socket("control.sock"),
                "--port", "x", "--", "/nonexistent",
            ])
            #expect(missing.ending == .exited(127))
            #expect(missing.standardError.contains("cannot run /nonexistent"))
            let nothing = try await lan.command("exec", "--port", "x")
            #expect(nothing.ending == .exited(2))
            let closed = try await lan.command("attach-fd", "--port", "x", "--fd", "77")
            #expect(closed.ending == .exited(1))
            #expect(closed.standardError.lowercased().contains("bad file descriptor"))
            try await lan.waitUntil("no port is left of it") {
                $0.ports.count == 2
            }
            try await lan.stop()
        }

        @Test(
            .enabled(if: NetworkNamespace.isAvailable, "\(NetworkNamespace.requirement)"))
        func `hosts on devices that somebody else opened reach each other`() async throws {
            let lan = try await SwitchProcess(Self.waiting)
            var hosts: [NetworkNamespace] = []
            for (number, offload) in [CSHIMS_TAP_OFFLOAD_NONE, CSHIMS_TAP_OFFLOAD_TCP].enumerated()
            {
                let host = try NetworkNamespace("handed-\(number)")
                var network = cshims_network()
                #expect(cshims_network_open("/run/netns/" + host.name, true, &network) == 0)
                defer {
                    close(network.tun)
                    close(network.netlink)
                }
                #expect(cshims_tap_attach(network.tun, "eth0", CSHIMS_TAP_CREATE, offload) == 0)
                let attachment = try await lan.give(network.tun, to: "host\(number)")
                #expect(attachment.type == "tap" && attachment.isTransient)
                try NetworkNamespace.ip([
                    "-n", host.name, "addr", "add", "10.9.0.\(number + 1)/24", "dev", "eth0",
                ])
                try NetworkNamespace.ip(["-n", host.name, "link", "set", "eth0", "up"])
                hosts.append(host)
            }
            let report = try await lan.allAttached(["host0", "host1"])
            #expect(try report.port("host0").offload == "none")
            #expect(try report.port("host1").offload == "vnet")
            #expect(try report.port("host1").device == "eth0")
            let ping = try await ChildProcess.run(
                hosts[0].inside(["ping", "-c", "3", "-W", "20", "10.9.0.2"]))
            #expect(ping.isSuccess, "\(ping.standardOutput)")
            try NetworkNamespace.ip(["-n", hosts[0].name, "link", "del", "eth0"])
            try await lan.waitUntil("the deleted device's port has gone") {
                !$0.ports.contains { $0.name == "host0" }
            }
            try await lan.stop()
        }
    }
}
