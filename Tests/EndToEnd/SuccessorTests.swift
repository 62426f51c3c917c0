// The next machine at a port whose machine has gone, where the switch has not heard it come.

import Control
import Glibc
import Testing

extension EndToEnd {
    /// Guests that greet once, at a moment when nobody who would understand it reads, and then wait
    /// to be spoken to.
    @Suite("Successors")
    struct Successors {
        @Test func `a machine that is connected and silent has the port when it is free`()
            async throws
        {
            let lan = try await SwitchProcess(Hardship.port("a") + Hardship.port("b"))
            // The kernel lets anybody connect to a port that listens, and nobody speak once it is
            // taken.
            let heir = try FaultPeer(at: lan.directory.file("heir"))
            try heir.connect(lan.socket("a.sock"))
            let first = try FaultPeer(at: lan.directory.file("first"))
            let other = try FaultPeer(at: lan.directory.file("other"))
            try first.join(lan.socket("a.sock"))
            try other.join(lan.socket("b.sock"))
            try await lan.allAttached()

            first.leave()
            try other.broadcast(1)
            try await expectServed(heir, by: lan, beside: other, number: 2)
            try await lan.process.line(
                containing: "attached a process (uid \(geteuid()), \(heir.path))")
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        @Test func `a machine that greets while its predecessor's death is noticed is served`()
            async throws
        {
            let lan = try await SwitchProcess(Hardship.port("a") + Hardship.port("b"))
            let other = try FaultPeer(at: lan.directory.file("other"))
            try other.join(lan.socket("b.sock"))
            try await lan.allAttached(["b"])
            for life: UInt8 in 1...20 {
                let machine = try FaultPeer(at: lan.directory.file("life-\(life)"))
                try await comeIn(machine, to: lan, beside: other)
                try await expectServed(machine, by: lan, beside: other, number: life)
                machine.leave()
            }
            try await lan.expectExactBooks()
            try await lan.stop()
        }

        /// Greets as soon as the kernel lets the machine in: frames of `other` tell the switch that
        /// the predecessor is dead.
        private func comeIn(
            _ machine: FaultPeer, to lan: SwitchProcess, beside other: FaultPeer
        ) async throws {
            let deadline = ContinuousClock.now + .patience
            while true {
                do {
                    return try machine.join(lan.socket("a.sock"))
                } catch let refusal as SpawnedProcess.Failure where refusal.code == EPERM {
                    guard ContinuousClock.now < deadline else { throw refusal }
                    try other.broadcast(0, from: 2)
                    _ = await lan.process.ending(within: .milliseconds(1))
                }
            }
        }

        /// The machine, which says nothing, is attached to port a and hears `other`.
        private func expectServed(
            _ machine: FaultPeer, by lan: SwitchProcess, beside other: FaultPeer, number: UInt8
        ) async throws {
            try await lan.waitUntil("\(machine.path) is attached") {
                $0.ports[0].state == .attached && $0.ports[0].peer?.address == machine.path
            }
            let word = FaultPeer.frame(number, from: 2)
            try other.send(word)
            while let heard = await machine.receive() {
                if heard == word { return }
            }
            Issue.record("\(machine.path) hears nothing")
        }
    }
}
