// As many ports as a switch may have, with a peer on each.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// The largest switch.
    @Suite("Faults: size")
    struct FaultySize {
        @Test func `1024 ports start, forward and end within seconds`() async throws {
            let count = 1024
            try #require(Self.mayOpen(count + 200))
            let clock = ContinuousClock()
            let start = clock.now
            let lan = try await SwitchProcess(
                "[[port]]\nname = \"p{n}\"\ncount = \(count)\ntype = \"unixgram\"\n")
            let startTime = clock.now - start

            let joining = clock.now
            let peers = try (1...count).map { number in
                let peer = try FaultPeer(at: lan.directory.file("peer\(number)"))
                try peer.join(lan.socket("p\(number).sock"))
                return peer
            }
            try await lan.waitUntil("all are attached") {
                $0.ports.allSatisfy { $0.state == .attached }
            }
            let joinTime = clock.now - joining

            try peers[0].broadcast(7)
            for peer in peers.dropFirst() {
                #expect(await peer.receive() == FaultPeer.frame(7))
            }
            let report = try await lan.waitUntil("the books balance") {
                $0.totals.unaccountedFrames == 0
            }
            #expect(report.totals.sentFrames == UInt64(count - 1))
            let descriptors = try FileManager.default.contentsOfDirectory(
                atPath: "/proc/\(lan.process.pid)/fd"
            ).count
            // A socket and a pidfd for each port.
            #expect(descriptors < 2 * count + 64)

            let ending = clock.now
            try await lan.stop()
            let endTime = clock.now - ending
            print("1024 ports: start \(startTime), attach \(joinTime), end \(endTime)")
            // Seconds, also where they are long because others have the CPU.
            #expect([startTime, joinTime, endTime].allSatisfy { $0 < .seconds(30) })
            let left = try FileManager.default.contentsOfDirectory(atPath: lan.directory.path)
            #expect(left.filter { $0.hasSuffix(".sock") }.isEmpty)
        }

        /// Raises the test's own limit of open files.
        private static func mayOpen(_ count: Int) -> Bool {
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = max(limit.rlim_cur, min(rlim_t(count), limit.rlim_max))
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            return limit.rlim_cur >= rlim_t(count)
        }
    }
}
