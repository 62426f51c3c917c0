// `ringswitch attach` through the restarts of its switch.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// The switch restarts without a restart of its machines.
    @Suite(
        "Faults: attach",
        .enabled(if: NetworkNamespace.isAvailable, "\(NetworkNamespace.requirement)"),
        .enabled(if: ChildProcess.isInstalled("ping"), "ping is not installed"))
    struct FaultyAttach {
        private static let ports = Hardship.port("a") + Hardship.port("b")

        @Test(arguments: [SIGTERM, SIGKILL])
        func `attach keeps its device and joins again when the switch is back`(
            signal: Int32
        ) async throws {
            let directory = try TemporaryDirectory()
            var lan = try await SwitchProcess(Self.ports, in: directory)
            let a = try NetworkNamespace("a")
            let b = try NetworkNamespace("b")
            let joiners = try [(a, "a", 1), (b, "b", 2)].map { namespace, port, host in
                try ChildProcess([
                    SwitchProcess.executable, "attach", lan.socket(port + ".sock"), "--netns",
                    namespace.name, "--address", "10.9.0.\(host)/24",
                ])
            }
            try await attached(lan)
            try await ping("10.9.0.2", from: a)
            let before = try await device(of: a)

            for _ in 0..<2 {
                lan.process.send(signal: signal)
                try #require(await lan.process.ending() != nil)
                for joiner in joiners {
                    try await joiner.line(containing: "the switch is gone")
                }
                lan = try await SwitchProcess(Self.ports, in: directory)
                for joiner in joiners {
                    try await joiner.line(containing: "joined again")
                }
                try await attached(lan)
                try await ping("10.9.0.2", from: a)
                #expect(try await device(of: a) == before)
            }
            for joiner in joiners {
                joiner.send(signal: SIGTERM)
                #expect(await joiner.ending() == .exited(0))
            }
            try await lan.stop()
        }

        private func attached(_ lan: SwitchProcess) async throws {
            try await lan.waitUntil("both are attached") {
                $0.ports.allSatisfy { $0.state == .attached }
            }
        }

        private func ping(_ host: String, from namespace: NetworkNamespace) async throws {
            let result = try await ChildProcess.run(
                namespace.inside(["ping", "-c", "3", "-i", "0.2", "-W", "20", host]))
            #expect(result.isSuccess, "\(result.standardOutput)\(result.standardError)")
        }

        /// Index and hardware address: those of another device would differ.
        private func device(of namespace: NetworkNamespace) async throws -> String {
            let line = try await ChildProcess.run(
                namespace.inside(["ip", "-oneline", "link", "show", "eth0"])
            ).standardOutput
            let words = line.split(separator: " ")
            return "\(words.first ?? "") \(words.drop { $0 != "link/ether" }.prefix(2))"
        }
    }
}
