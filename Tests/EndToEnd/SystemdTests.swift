// The service under systemd itself, on a machine of its own: what the unit promises happens.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// What `make install` brings, and the real systemd.
    @Suite(
        "Systemd", .timeLimit(.minutes(2)),
        .enabled(if: SystemdMachine.obstacle == nil, "\(SystemdMachine.obstacle ?? "")"))
    struct Systemd {
        private static let configuration =
            ["a", "b"].map { SwitchProcess.port($0, "unixgram") }.joined()
            + SwitchProcess.port("packets", "seqpacket")
            + SwitchProcess.port("host", "tap", "device = \"rs0\"")

        /// What lies in the store while nobody is attached: the state, the counters, a socket for
        /// each port that listens, the device and its netlink socket.
        private static let idleDescriptors = "7"
        /// Handles on the processes of two VMs and the connection of a third as well. That one is
        /// outside of the machine, where no process is seen.
        private static let busyDescriptors = "10"

        /// A machine whose switch has been started.
        private func boot() async throws -> SystemdMachine {
            let machine = try await SystemdMachine(Self.configuration)
            try await machine.systemctl("enable", "--now", "ringswitch")
            return machine
        }

        /// Does something to the switch amid an exchange, and demands that another process goes on
        /// with the same VMs.
        /// - Parameters:
        ///   - lossMax: frames of each direction that may be lost.
        ///   - delayMax: the longest time that a frame may take.
        private func replace(
            _ machine: SystemdMachine, lossMax: UInt64, delayMax: Duration = .seconds(2),
            seconds: Double = 2, by act: () async throws -> Void
        ) async throws {
            let vms = try await machine.exchange(seconds: seconds)
            let packets = try StreamPeer(
                .seqpacket, mac: SwitchProcess.mac(9),
                port: machine.path("/run/ringswitch/packets.sock"))
            try await machine.waitUntil("all are kept") {
                try await machine.property("NFileDescriptorStore") == Self.busyDescriptors
            }
            let before = try await machine.status()
            let pid = try await machine.property("MainPID")
            vms.go()
            try await act()
            try await machine.waitUntilRestarted(from: pid)
            let after = try await machine.status()
            for (old, new) in zip(before.ports, after.ports) {
                #expect(new.state == old.state && new.peer == old.peer, "\(new.name)")
                #expect(new.counters.handshakes == old.counters.handshakes)
            }
            let report = try await vms.report()
            for flow in report.received {
                #expect(flow.lost <= lossMax, "\(flow)")
                #expect(Double(flow.frames + flow.lost) == 2000 * seconds, "\(flow)")
                let delay = Duration.nanoseconds(flow.delayNs.max)
                #expect(delay < (SwitchProcess.isDebugBuild ? delayMax * 5 : delayMax))
                print("to \(flow.endpoint): longest delay \(delay), \(flow.lost) lost")
            }
            #expect(report.faults == 0)
            // Who has connected is still connected.
            let frame = packets.frame(to: SwitchProcess.mac(1), number: 7)
            let count = try await machine.status().port("packets").counters.receivedFrames
            try await packets.send(frame)
            try await machine.waitUntil("the frame has come") {
                try await machine.status().port("packets").counters.receivedFrames == count + 1
            }
        }

        @Test func `the service starts, says how it is, and is as confined as its unit says`()
            async throws
        {
            let machine = try await boot()
            #expect(try await machine.systemctl("is-enabled", "ringswitch") == "enabled\n")
            #expect(
                try await machine.systemctl("status", "ringswitch")
                    .contains("Status: \"1 of 4 ports up"))
            #expect(try await machine.property("NFileDescriptorStore") == Self.idleDescriptors)
            // One line, without a time of its own, which the journal has.
            let lines = try await machine.journal().split(separator: "\n")
                .filter { $0.contains("switch") && !$0.contains(".service") }
            #expect(
                lines == ["switch runs name=lan0 ports=4 runtime_dir=/run/ringswitch workers=1"])

            let pid = try await machine.property("MainPID")
            let text = try await machine.run("cat", "/proc/\(pid)/status").standardOutput
            let facts = Dictionary(
                text.split(separator: "\n").compactMap { line -> (String, String)? in
                    let words = line.split(separator: ":\t", maxSplits: 1).map(String.init)
                    return words.count == 2 ? (words[0], words[1]) : nil
                }, uniquingKeysWith: { first, _ in first })
            // CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_NET_ADMIN.
            let rights = UInt64(1 << 0 | 1 << 1 | 1 << 3 | 1 << 12)
            for set in ["CapPrm", "CapEff", "CapBnd"] {
                #expect(facts[set].flatMap { UInt64($0, radix: 16) } == rights, "\(set)")
            }
            #expect(facts["NoNewPrivs"] == "1" && facts["Seccomp"] == "2", "\(facts)")

            func mayWrite(_ directory: String) async throws -> Bool {
                try await machine.run(
                    "nsenter", "--target", pid, "--mount", "touch", directory + "/probe"
                ).isSuccess
            }
            #expect(try await mayWrite("/run/ringswitch"))
            for place in ["/", "/etc", "/usr", "/var", "/tmp", "/home", "/run", "/proc/sys/net"] {
                #expect(try await !mayWrite(place), "\(place)")
            }
        }

        @Test func `a restart loses no frame and no VM`() async throws {
            let machine = try await boot()
            try await replace(machine, lossMax: 0) {
                try await machine.systemctl("restart", "ringswitch")
            }
            // Nothing is left behind by one process for each of the next.
            for _ in 0..<10 { try await machine.systemctl("restart", "ringswitch") }
            try await machine.waitUntil("the store is as before") {
                try await machine.property("NFileDescriptorStore") == Self.idleDescriptors
            }
        }

        @Test func `kill -9 costs frames of one batch, and no VM`() async throws {
            let machine = try await boot()
            try await replace(machine, lossMax: 64) {
                try await machine.systemctl(
                    "kill", "--kill-who=main", "--signal=KILL", "ringswitch")
            }
            #expect(try await machine.property("NRestarts") == "1")
        }

        @Test func `a switch that hangs is started anew, and keeps its VMs`() async throws {
            let machine = try await SystemdMachine(Self.configuration)
            try await machine.edit("[Service]\nWatchdogSec=1\n")
            try await machine.systemctl("start", "ringswitch")
            try await replace(machine, lossMax: 64, delayMax: .seconds(4), seconds: 4) {
                try await machine.systemctl(
                    "kill", "--kill-who=main", "--signal=STOP", "ringswitch")
            }
            #expect(
                try await machine.run("journalctl", "--unit", "ringswitch").standardOutput
                    .contains("Watchdog timeout"))
        }

        @Test func `a reload adds a port; what is wrong is refused, and said in the journal`()
            async throws
        {
            let machine = try await boot()
            let pid = try await machine.property("MainPID")
            let file = "etc/ringswitch/ringswitch.toml"
            let more = Self.configuration + SwitchProcess.port("c", "unixgram")
            try machine.directory.write(more, to: file)
            try await machine.systemctl("reload", "ringswitch")
            #expect(try await machine.status().port("c").state == .listening)
            try machine.directory.write(more + SwitchProcess.port("d", "unixgramm"), to: file)
            #expect(try await !machine.run("systemctl", "reload", "ringswitch").isSuccess)
            try await machine.waitUntil("the reason is told") {
                try await machine.systemctl("status", "--full", "ringswitch")
                    .contains("port[6].type (port \"d\"): \"unixgramm\" is not a type of port")
            }
            #expect(try await machine.property("SubState") == "running")
            #expect(try await machine.status().ports.count == 5)
            #expect(try await machine.property("MainPID") == pid)
        }

        @Test func `a stop ends connections and leaves nothing; the next start begins fresh`()
            async throws
        {
            let machine = try await boot()
            let vms = try await machine.exchange(seconds: 1)
            vms.go()
            #expect(try await vms.report().faults == 0)
            let peer = try StreamPeer(
                .seqpacket, mac: SwitchProcess.mac(9),
                port: machine.path("/run/ringswitch/packets.sock"))
            try await machine.waitUntil("it is attached") {
                try await machine.status().port("packets").state == .attached
            }
            try await machine.systemctl("stop", "ringswitch")
            #expect(try await machine.property("Result") == "success")
            #expect(try await machine.property("NFileDescriptorStore") == "0")
            #expect(try await !machine.run("test", "-e", "/run/ringswitch").isSuccess)
            try await peer.waitForEnd()
            try await machine.waitUntil("the device is gone") {
                try await !machine.run("test", "-e", "/sys/class/net/rs0").isSuccess
            }
            try await machine.systemctl("start", "ringswitch")
            let report = try await machine.status()
            #expect(report.ports.map(\.state) == [.listening, .listening, .listening, .up])
            #expect(try report.port("a").counters.receivedFrames == 0)
        }

        @Test func `what is kept and of no use is let go of, and the switch starts anew`()
            async throws
        {
            let machine = try await boot()
            let pid = try await machine.property("MainPID")
            // Nobody reads the state any more; systemd still holds the sockets and the device.
            let damage = """
                kill -STOP \(pid)
                for file in /proc/\(pid)/fd/*; do
                    case $(readlink $file) in */memfd:*) : >$file ;; esac
                done
                kill -KILL \(pid)
                """
            #expect(try await machine.run("sh", "-c", damage).isSuccess)
            try await machine.waitUntilRestarted(from: pid)
            #expect(try await machine.journal().contains("of no use, starting anew"))
            let states = try await machine.status().ports.map(\.state)
            #expect(states == [.listening, .listening, .listening, .up])
            try await machine.waitUntil("the store is as before") {
                try await machine.property("NFileDescriptorStore") == Self.idleDescriptors
            }
        }

        @Test func `a takeover of the service is refused, with a word on what to do`() async throws
        {
            let machine = try await boot()
            let pid = try await machine.property("MainPID")
            let attempt = try await machine.run("ringswitch", "run", "--takeover")
            #expect(attempt.ending == .exited(1))
            #expect(attempt.standardError.contains("`systemctl restart`"), "\(attempt)")
            #expect(try await machine.property("MainPID") == pid)
            #expect(try await machine.status().ports.count == 4)
        }

        @Test func `a thousand ports are told to systemd and taken back, time and again`()
            async throws
        {
            let machine = try await SystemdMachine(
                SwitchProcess.port("vm{n}", "unixgram", "count = 1000"))
            for verb in ["start", "restart", "restart"] {
                try await machine.systemctl(verb, "ringswitch")
                try await machine.waitUntil("all are kept, and nothing else") {
                    try await machine.property("NFileDescriptorStore") == "1002"
                }
            }
            #expect(try await !machine.journal().contains("may cost VMs their connections"))
        }

        @Test func `the switch of a user keeps its VMs as well`() async throws {
            let machine = try await SystemdMachine(Self.configuration)
            try await machine.systemctl("start", "user@1000")
            let user = [
                "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "env",
                "XDG_RUNTIME_DIR=/run/user/1000", "HOME=/home/alice",
            ]
            func asUser(_ command: String...) async throws -> String {
                let result = try await ChildProcess.run(machine.inside(user + command))
                #expect(result.isSuccess, "\(result)")
                return result.standardOutput
            }
            _ = try await asUser("systemctl", "--user", "start", "ringswitch")
            // The switch of a user may answer only where it may write.
            let peers = try (1...2).map { number in
                let own = machine.directory.file("vms/\(number)")
                let peer = try Peer(
                    mac: SwitchProcess.mac(number), own: own,
                    port: machine.path("/run/user/1000/ringswitch/vm\(number).sock"),
                    greets: false)
                chmod(own, 0o666)
                try peer.send(Array("VFKT".utf8))
                return peer
            }
            try await Peer.introduce(peers)
            for verb in [["restart"], ["kill", "--signal=KILL"]] {
                let before = try await asUser("systemctl", "--user", "show", "ringswitch")
                _ = try await ChildProcess.run(
                    machine.inside(user + ["systemctl", "--user"] + verb + ["ringswitch"]))
                try await machine.waitUntil("another process is ready") {
                    let now = try await asUser("systemctl", "--user", "show", "ringswitch")
                    let pid = now.split(separator: "\n").first { $0.hasPrefix("MainPID=") }
                    return now.contains("SubState=running") && !before.contains(pid! + "\n")
                }
                try await Peer.introduce(peers)
            }
        }
    }
}
