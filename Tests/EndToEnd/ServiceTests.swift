// The switch under a service manager, and the packages that bring it there.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// sd_notify(3), units, packages.
    @Suite("Service")
    struct Service {
        private static let top = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../..").standardized.path

        private func run(_ command: String...) async throws -> ChildProcess.Result {
            let result = try await ChildProcess.run(command, within: .seconds(240))
            #expect(result.isSuccess, "\(command.joined(separator: " ")): \(result)")
            return result
        }

        @Test(.enabled(if: ChildProcess.isInstalled("python3"), "python3 plays the manager"))
        func `the manager is told of start, life, reload and end`() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("notify")
            // It prints what it receives, each message with an end of line.
            let manager = try ChildProcess([
                "python3", "-uc",
                """
                import socket, sys
                s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                s.bind(sys.argv[1])
                print("bound", flush=True)
                while True: print(s.recv(4096).decode().replace("\\n", " "), flush=True)
                """, path,
            ])
            try await manager.line(containing: "bound")
            let lan = try await SwitchProcess(
                SwitchProcess.ports(["a", "b"], switchKeys: "workers = 2"), in: directory,
                under: ["env", "NOTIFY_SOCKET=\(path)", "WATCHDOG_USEC=2000000"])
            let ready = try await manager.line(containing: "READY=1")
            #expect(ready == "READY=1 STATUS=0 of 2 ports up, 0 MACs")
            let peer = try lan.peer("a", 1)
            for _ in 0..<5 {
                try await manager.line(containing: "WATCHDOG=1")
            }
            try await manager.line(
                containing: "WATCHDOG=1 STATUS=1 of 2 ports up")
            withExtendedLifetime(peer) {}
            #expect(try await lan.command("reload").isSuccess)
            try await manager.line(
                containing: "RELOADING=1 MONOTONIC_USEC=")
            try await manager.line(containing: "READY=1")
            try await lan.stop()
            try await manager.line(containing: "STOPPING=1")
        }

        @Test(.enabled(if: ChildProcess.isInstalled("systemd-analyze"), "needs systemd-analyze"))
        func `what is installed runs, and its units are sound and confined`() async throws {
            let place = try TemporaryDirectory()
            _ = try await run(
                Self.top + "/scripts/install", SwitchProcess.executable, place.file("root"))
            let root = place.file("root")
            let version = try await run(root + "/bin/ringswitch", "--version")
            #expect(version.standardOutput.hasPrefix("ringswitch "))
            let system = root + "/lib/systemd/system/ringswitch.service"
            let verified = try await run("systemd-analyze", "verify", system)
            #expect(verified.standardError.isEmpty, "\(verified)")
            let user = try await run(
                "env", "XDG_RUNTIME_DIR=\(place.path)", "systemd-analyze", "verify", "--user",
                root + "/lib/systemd/user/ringswitch.service")
            #expect(user.standardError.isEmpty, "\(user)")
            // The README states the score.
            let security = try await run(
                "systemd-analyze", "security", "--offline=yes", "--threshold=29", "--no-pager",
                system)
            let score = security.standardOutput.split(separator: "\n")
                .last { $0.contains("exposure level") }
            print(score ?? "no score")
            #expect(score != nil)
        }

        @Test(
            .enabled(
                if: ["dpkg-deb", "dpkg-shlibdeps", "strip"].allSatisfy(ChildProcess.isInstalled)
                    && geteuid() == 0, "needs dpkg-dev, binutils and root"))
        func `the Debian package can be installed, runs, and leaves nothing`() async throws {
            let place = try TemporaryDirectory()
            let built = try await run(
                "env", "DEBEMAIL=packager@debian.org", Self.top + "/scripts/package-deb",
                SwitchProcess.executable, place.path)
            let package = built.standardOutput.trimmingCharacters(in: .whitespacesAndNewlines)
            let fields = try await run("dpkg-deb", "--field", package).standardOutput
            #expect(fields.contains("libc6 (>= 2.") && fields.contains("liburing2"), "\(fields)")
            let root = place.file("root")
            for directory in ["info", "updates", "triggers"] {
                try FileManager.default.createDirectory(
                    atPath: root + "/var/lib/dpkg/" + directory, withIntermediateDirectories: true)
            }
            try "".write(toFile: root + "/var/lib/dpkg/status", atomically: true, encoding: .utf8)
            let dpkg = [
                "dpkg", "--root=" + root, "--log=/dev/null", "--force-depends",
                "--force-script-chrootless",
            ]
            let installed = try await ChildProcess.run(dpkg + ["--install", package])
            #expect(installed.isSuccess, "\(installed)")
            let program = try await run(root + "/usr/bin/ringswitch", "--version")
            #expect(program.standardOutput.hasPrefix("ringswitch "))
            let unit = try String(
                contentsOfFile: root + "/usr/lib/systemd/system/ringswitch.service",
                encoding: .utf8)
            #expect(unit.contains("ExecStart=/usr/bin/ringswitch run\n"))
            let removed = try await ChildProcess.run(dpkg + ["--purge", "ringswitch"])
            #expect(removed.isSuccess, "\(removed)")
            #expect(!FileManager.default.fileExists(atPath: root + "/usr/bin/ringswitch"))
            guard ChildProcess.isInstalled("lintian") else { return }
            _ = try await run("lintian", "--fail-on", "error,warning", package)
        }
    }
}
