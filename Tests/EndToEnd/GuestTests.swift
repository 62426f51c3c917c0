// What a user of virtual machines does first: two guests on two ports, and one that crashes.

import Control
import Testing

extension EndToEnd {
    /// Two QEMU guests on two unixgram ports.
    @Suite("Real VMs", .enabled(if: Guest.isAvailable, "\(Guest.requirement)"))
    struct RealVMs {
        private static let configuration = """
            [switch]
            name = "vms"

            [[port]]
            name = "vm-{n}"
            count = 2
            type = "unixgram"
            """
        private let largeFile = 32 << 20, smallFile = 8 << 20

        /// Boots the guest `number` on the port of that number, always under the same path.
        private func boot(_ number: Int, on lan: SwitchProcess) throws -> Guest {
            try Guest(
                number: number,
                network: .datagram(
                    from: lan.socket("guest-\(number).sock"), to: lan.socket("vm-\(number).sock")))
        }

        @Test
        func `a guest that was killed comes back to the LAN under the same path`() async throws {
            let lan = try await SwitchProcess(Self.configuration)
            let first = try boot(1, on: lan)
            var second = try boot(2, on: lan)
            try await first.isUp()
            try await second.isUp()

            try await first.ping(second.address)
            let before = try await first.transfer(largeFile, to: second.address)
            print("real VMs: \(Int(before.megabitsPerSecond)) Mbit/s between emulated guests")
            let attached = try await lan.port("vm-2")
            #expect(attached.state == .attached)
            #expect(attached.peer?.pid == second.machine.pid)
            #expect(attached.counters.receivedFrames > 0 && attached.counters.sentFrames > 0)

            try await second.kill()
            try await lan.waitUntil("vm-2 listens again") { report in
                report.ports.contains { $0.name == "vm-2" && $0.state == .listening }
            }

            second = try boot(2, on: lan)
            try await second.isUp()
            try await first.ping(second.address)
            _ = try await first.transfer(smallFile, to: second.address)
            _ = try await second.transfer(smallFile, to: first.address)
            #expect(try await lan.port("vm-2").peer?.pid == second.machine.pid)

            try await first.kill()
            try await second.kill()
            try await lan.waitUntil("every frame is accounted for") { report in
                report.totals.unaccountedFrames == 0
            }
            try await lan.stop()
        }

        @Test
        func `a guest whose card is a descriptor is on the LAN while QEMU runs`() async throws {
            let lan = try await SwitchProcess(Self.configuration)
            let first = try boot(1, on: lan)
            let second = try Guest(
                number: 2,
                network: .descriptor(port: "fd-2", control: lan.socket("control.sock")))
            try await first.isUp()
            try await second.isUp()
            let port = try await lan.port("fd-2")
            #expect(port.state == .attached && port.peer?.pid == second.machine.pid)
            #expect(port.peer?.command == "qemu-system-x86_64")

            try await second.ping(first.address)
            let sent = try await first.transfer(smallFile, to: second.address)
            let received = try await second.transfer(smallFile, to: first.address)
            print(
                "real VMs: \(Int(sent.megabitsPerSecond)) Mbit/s to a descriptor, "
                    + "\(Int(received.megabitsPerSecond)) from it")
            try await second.kill()
            try await lan.waitUntil("its port has gone") { report in
                !report.ports.contains { $0.name == "fd-2" }
            }
            try await first.kill()
            try await lan.stop()
        }
    }
}
