// What the machine may withhold from a switch: permissions, devices, limits, io_uring itself.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// Switches that run with less than they need.
    @Suite(
        "Faults: privileges",
        .enabled(if: Hardship.isAvailable, "\(Hardship.requirement)"))
    struct FaultyPrivileges {
        private let nobody = Hardship.nobody

        @Test func `a user whose runtime directory cannot be made is told`() async throws {
            let directory = try Hardship.directoryOfNobody()
            let runtime = "/run/ringswitch-test-\(getpid())"
            let start = try await Hardship.failingStart(
                Hardship.port("a"), in: directory, runtime: runtime, under: Hardship.unprivileged)
            #expect(
                start
                    == .error(
                        "cannot make the runtime directory \(runtime): permission denied; set "
                            + "runtime_dir to a directory of uid \(nobody), or have root make this "
                            + "one for it"))
        }

        @Test func `a runtime directory of another user is refused`() async throws {
            let directory = try Hardship.directoryOfNobody()
            let runtime = directory.file("run")
            try #require(mkdir(runtime, 0o777) == 0)
            let start = try await Hardship.failingStart(
                Hardship.port("a"), in: directory, runtime: runtime, under: Hardship.unprivileged)
            #expect(
                start
                    == .error(
                        "\(runtime) belongs to user 0, not to this one (\(nobody)): set "
                            + "runtime_dir"))
        }

        @Test func `only root gives sockets away`() async throws {
            let directory = try Hardship.directoryOfNobody()
            let start = try await Hardship.failingStart(
                Hardship.port("a") + "owner = \"root\"\n", in: directory,
                under: Hardship.unprivileged)
            #expect(
                start
                    == .error(
                        "port a: cannot give \(directory.file("a.sock")) to user 0: only root "
                            + "gives files away, and only members give them to a group"))
            #expect(!FileManager.default.fileExists(atPath: directory.file("a.sock")))
        }

        @Test func `a machine without a TUN device is told apart from one that forbids it`()
            async throws
        {
            let directory = try Hardship.directoryOfNobody()
            let none = try await Hardship.failingStart(
                Hardship.tap("rsfault0"), in: directory,
                under: Hardship.mounting("mount -t tmpfs none /dev/net"))
            #expect(
                none
                    == .error(
                        "port host: /dev/net/tun does not exist: load the driver with `modprobe "
                            + "tun`; a container needs the device passed in (`--device "
                            + "/dev/net/tun`)"))
            let closed = try await Hardship.failingStart(
                Hardship.tap("rsfault0"), in: try Hardship.directoryOfNobody(),
                under: Hardship.mounting(Self.tun(mode: "600")) + Hardship.unprivileged)
            #expect(
                closed
                    == .error(
                        "port host: permission denied to open /dev/net/tun: its usual mode is "
                            + "0666; a container needs the device allowed (`--device "
                            + "/dev/net/tun`)"))
        }

        @Test func `making a device takes CAP_NET_ADMIN`() async throws {
            let start = try await Hardship.failingStart(
                Hardship.tap("rsfault0"), in: try Hardship.directoryOfNobody(),
                under: Hardship.mounting(Self.tun(mode: "666")) + Hardship.unprivileged)
            #expect(
                start
                    == .error(
                        "port host: not permitted to create the TAP device rsfault0: run the "
                            + "switch as root or give it the capability CAP_NET_ADMIN"))
        }

        @Test func `a namespace that does not exist is named`() async throws {
            let start = try await Hardship.failingStart(
                Hardship.tap("rsfault0", "netns = \"nowhere\"\n"), in: try TemporaryDirectory())
            #expect(
                start
                    == .error(
                        "port host: there is no network namespace nowhere (/run/netns/nowhere): "
                            + "create it with `ip netns add nowhere`"))
        }

        @Test func `too little locked memory for a ring is an error`() async throws {
            let start = try await Hardship.failingStart(
                Hardship.port("a"), in: try Hardship.directoryOfNobody(),
                under: Hardship.limited("memlock=65536:65536") + Hardship.unprivileged)
            #expect(
                start
                    == .error(
                        "io_uring_setup failed: out of memory (ENOMEM); locked memory is limited "
                            + "to 64 KiB (RLIMIT_MEMLOCK): raise it with `ulimit -l`, or "
                            + "LimitMEMLOCK= in a systemd unit"))
        }

        @Test
        func `too little locked memory for all peers costs some, who are told once`() async throws {
            // The kernel charges memory by user, and gives it back some time after the end of a
            // switch: nobody else has been this one.
            let user: uid_t = 65_530
            let directory = try Hardship.directory(of: user)
            let count = 64
            let lan = try await SwitchProcess(
                Hardship.port("p{n}") + "count = \(count)\n",
                in: directory,
                under: Hardship.limited("memlock=262144:262144") + Hardship.being(user))
            let peers = try (1...count).map { try FaultPeer(at: directory.file("peer\($0)")) }
            for (number, peer) in peers.enumerated() {
                try peer.join(lan.socket("p\(number + 1).sock"))
            }
            let report = try await lan.waitUntil("all have tried") {
                $0.ports.allSatisfy { $0.state == .attached || $0.lastError != nil }
            }
            let refused = report.ports.filter { $0.state != .attached }
            try #require(!refused.isEmpty && refused.count < count)
            for port in refused {
                #expect(
                    port.lastError?.hasSuffix(
                        "is not attached: the ring refused the port's socket: out of memory, or of "
                            + "locked memory (RLIMIT_MEMLOCK): raise it with `ulimit -l`, or "
                            + "LimitMEMLOCK= in a systemd unit") == true,
                    "\(port.lastError ?? "no error")")
            }
            // The refused go on sending, and are heard of no more.
            let number = try #require(Int(refused[0].name.dropFirst()))
            for round in 0..<50 {
                try? peers[number - 1].broadcast(UInt8(round))
            }
            try await lan.waitUntil("the frames are counted") {
                ($0.ports[number - 1].counters.drops["no_peer"] ?? 0) > 0
            }
            try await lan.stop()
            let log = try await lan.process.result().standardError
            let lines = log.split(separator: "\n").filter { $0.hasSuffix("port=p\(number)") }
            #expect(lines.count == 1, "\(lines)")
        }

        @Test func `a hard limit of too few open files is an error`() async throws {
            for limit in ["8", "256"] {
                let start = try await Hardship.failingStart(
                    Hardship.port("a"), in: try TemporaryDirectory(),
                    under: Hardship.limited("nofile=\(limit):\(limit)"))
                #expect(
                    start
                        == .error(
                            "the limit of \(limit) open files (RLIMIT_NOFILE) is too low: the "
                                + "switch needs 1024; raise it with `ulimit -Hn`, or "
                                + "LimitNOFILE= in a systemd unit"))
            }
        }

        @Test func `a soft limit of few open files is raised`() async throws {
            let lan = try await SwitchProcess(
                Hardship.port("a"), under: Hardship.limited("nofile=16:4096"))
            let limits = try String(
                contentsOfFile: "/proc/\(lan.process.pid)/limits", encoding: .utf8)
            let line = limits.split(separator: "\n").first { $0.hasPrefix("Max open files") }
            #expect(line?.split(separator: " ").dropFirst(3).first == "4096")
            try await lan.stop()
        }

        @Test(.enabled(if: ChildProcess.isInstalled("cc"), "needs a C compiler"))
        func `a seccomp filter that blocks io_uring is named`() async throws {
            let directory = try TemporaryDirectory()
            let source = try directory.write(Self.filterSource, to: "filter.c")
            let filter = directory.file("filter")
            let build = try await ChildProcess.run(["cc", "-o", filter, source])
            try #require(build.isSuccess, "\(build.standardError)")
            for (code, name) in [("1", "EPERM"), ("38", "ENOSYS")] {
                let start = try await Hardship.failingStart(
                    Hardship.port("a"), in: directory, under: [filter, code])
                #expect(
                    start
                        == .error(
                            "io_uring is blocked by a seccomp filter, as containers have "
                                + "(\(name)): allow io_uring_setup, io_uring_enter and "
                                + "io_uring_register in its profile; with docker or podman, "
                                + "--security-opt "
                                + "seccomp=PROFILE.json (or seccomp=unconfined)"))
            }
        }

        @Test
        func `a peer that the switch cannot answer is refused with who, where and what to do`()
            async throws
        {
            let directory = try Hardship.directoryOfNobody()
            let lan = try await SwitchProcess(
                Hardship.port("a"), in: directory, under: Hardship.unprivileged)
            let peer = try FaultPeer(at: directory.file("peer"), mode: 0o600)
            try peer.join(lan.socket("a.sock"))
            let port = try await lan.waitUntil("it is refused") {
                $0.ports[0].lastError != nil
            }.ports[0]
            let error = try #require(port.lastError)
            #expect(port.state == .listening)
            #expect(error.hasPrefix("refused "))
            #expect(
                error.hasSuffix(
                    " (pid \(getpid()), uid 0, \(peer.path)): cannot connect back to its socket: "
                        + "permission denied; run the VM and the switch as one user, or let uid "
                        + "\(nobody) write to the socket and search its directory"), "\(error)")
            try await lan.process.line(containing: error)

            // The remedy helps.
            try #require(chmod(peer.path, 0o666) == 0)
            try peer.join(lan.socket("a.sock"))
            try await lan.waitUntil("it is attached") {
                $0.ports[0].state == .attached && $0.ports[0].lastError == nil
            }
            try await lan.stop()
        }

        private static func tun(mode: String) -> String {
            "mount -t tmpfs none /dev/net; mknod -m \(mode) /dev/net/tun c 10 200"
        }

        /// Answers io_uring_setup(2), number 425 on every architecture but Alpha, with an errno.
        private static let filterSource = """
            #include <linux/filter.h>
            #include <linux/seccomp.h>
            #include <stddef.h>
            #include <stdlib.h>
            #include <sys/prctl.h>
            #include <unistd.h>

            int main(int count, char **arguments) {
                struct sock_filter code[] = {
                    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 425, 0, 1),
                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | atoi(arguments[1])),
                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                };
                struct sock_fprog program = {sizeof code / sizeof *code, code};
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                if (count < 3 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
                    return 3;
                execv(arguments[2], arguments + 2);
                return 4;
            }

            """
    }
}
