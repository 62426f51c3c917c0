// The first thing that anybody tries: the program, without a file, as an ordinary user.

import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// `ringswitch run` alone.
    @Suite("Without a file", .enabled(if: geteuid() == 0, "other users are root's to play"))
    struct WithoutFile {
        private static let user = 65534

        /// `command` as an ordinary user whose runtime directory and home are `directory`.
        private func asUser(_ directory: String, _ command: [String]) -> [String] {
            [
                "setpriv", "--reuid=\(Self.user)", "--regid=\(Self.user)", "--clear-groups",
                "env", "-i", "PATH=/usr/bin:/bin", "HOME=\(directory)",
                "XDG_RUNTIME_DIR=\(directory)", "XDG_CONFIG_HOME=\(directory)",
            ] + command
        }

        /// A directory of the user, with a copy of the binary: it may lie where only root can go.
        private func home() throws -> (TemporaryDirectory, executable: String) {
            let home = try TemporaryDirectory()
            let executable = home.file("ringswitch-under-test")
            try FileManager.default.copyItem(atPath: SwitchProcess.executable, toPath: executable)
            chmod(executable, 0o755)
            chown(home.path, uid_t(Self.user), gid_t(Self.user))
            return (home, executable)
        }

        @Test(arguments: [SIGINT, SIGTERM])
        func `four ports listen for an ordinary user and nothing is left behind`(
            signal: Int32
        ) async throws {
            let (home, executable) = try home()
            let process = try ChildProcess(asUser(home.path, [executable, "run"]))
            // The hints name each port's path and both kinds of client.
            for hint in ["qemu-system-x86_64", "krun_add_net_unixgram", "ringswitch attach"] {
                try await process.line(containing: hint)
            }
            let directory = home.path + "/ringswitch"
            #expect(mode(of: directory) == 0o700)
            let sockets = try FileManager.default.contentsOfDirectory(atPath: directory).filter {
                $0.hasSuffix(".sock") && !["control.sock", "handover.sock"].contains($0)
            }
            #expect(sockets.count == 4, "\(sockets)")

            let status = try await ChildProcess.run(asUser(home.path, [executable, "status"]))
            #expect(status.isSuccess, "\(status.standardError)")
            for socket in sockets { #expect(status.standardOutput.contains(socket)) }

            // A machine of the same user gets in; frames find their way.
            let generator = home.file("loadgen")
            try FileManager.default.copyItem(atPath: LoadGenerator.executable, toPath: generator)
            chmod(generator, 0o755)
            let ports = sockets.sorted().prefix(2).map { "\(directory)/\($0)" }
            let load = try await ChildProcess.run(
                asUser(
                    home.path,
                    [
                        generator, "--quiet", "0.5", "--drain", "60", "--await-peer", "60",
                        "--endpoint", "name=a port=\(ports[0]) own=\(home.file("a")) magic=yes",
                        "--endpoint", "name=b port=\(ports[1]) own=\(home.file("b"))",
                        "--flow", "from=a to=b rate=1000 count=100",
                    ]))
            #expect(load.isSuccess, "\(load.standardError)")
            #expect(load.standardOutput.contains("\"frames\": 100"))

            process.send(signal: signal)
            #expect(await process.ending() == .exited(0))
            let left = try FileManager.default.contentsOfDirectory(atPath: directory)
            // The lock's file stays, so that two that start at once find the same one.
            #expect(left == ["lock"])
        }

        @Test
        func `a second switch in the same place is refused and the first stays`() async throws {
            let (home, executable) = try home()
            let first = try ChildProcess(asUser(home.path, [executable, "run"]))
            try await first.line(containing: "qemu-system-x86_64")
            let second = try await ChildProcess.run(asUser(home.path, [executable, "run"]))
            #expect(second.ending == .exited(1))
            #expect(second.standardError.contains("ringswitch"), "\(second.standardError)")
            let status = try await ChildProcess.run(asUser(home.path, [executable, "status"]))
            #expect(status.isSuccess, "\(status.standardError)")
            first.send(signal: SIGTERM)
            #expect(await first.ending() == .exited(0))
        }

        @Test
        func `sockets that a killed switch left behind are taken over`() async throws {
            let (home, executable) = try home()
            let killed = try ChildProcess(asUser(home.path, [executable, "run"]))
            try await killed.line(containing: "qemu-system-x86_64")
            killed.kill()
            #expect(await killed.ending() == .killed(signal: SIGKILL))
            let next = try ChildProcess(asUser(home.path, [executable, "run"]))
            try await next.line(containing: "qemu-system-x86_64")
            next.send(signal: SIGINT)
            #expect(await next.ending() == .exited(0))
        }

        private func mode(of path: String) -> UInt32 {
            var status = stat()
            return stat(path, &status) == 0 ? status.st_mode & 0o7777 : 0
        }
    }
}
