// A virtual machine without offloads, and a host that leaves all that it can to others: what the
// one sends is never more than the other takes.

import Control
import Foundation
import Testing

extension EndToEnd {
    /// A QEMU guest on a port that takes whole frames only, and a raw host.
    @Suite(
        "Large frames and a VM", .enabled(if: Guest.isAvailable, "\(Guest.requirement)"),
        .enabled(if: NetworkNamespace.isAvailable, "\(NetworkNamespace.requirement)"))
    struct LargeFramesAndGuest {
        private let byteCount = 8 << 20

        @Test
        func `a guest without offloads and a raw host exchange files at full frame size`()
            async throws
        {
            let host = try await LANHost(.raw, 2)
            let lan = try await SwitchProcess(
                host.port + "[[port]]\nname = \"vm\"\ntype = \"unixgram\"\noffload = \"none\"\n")
            let guest = try Guest(
                number: 1, prefix: "10.0.0",
                network: .datagram(from: lan.socket("guest.sock"), to: lan.socket("vm.sock")))
            try await LANHost.join([host], lan)
            try await guest.isUp()
            try await guest.ping(host.address)

            let rate = try await sendFile(from: guest, to: host, on: lan)
            let back = try await sendFile(from: host, to: guest, on: lan)
            print("a guest and a raw host: \(rate) Mbit/s to the host, \(back) to the guest")

            #expect(try await host.namespace.checksumErrors() == [])
            #expect(try await guest.checksumErrors() == 0)
            let report = try await lan.expectExactBooks()
            let port = try report.port("vm").counters
            #expect(port.drops["too_big"] == nil)
            // The file came in frames of the MTU, and went so to the guest, out of larger ones.
            let full = UInt64(byteCount / 1448)
            #expect(port.receivedBytes / port.receivedFrames > 500, "\(port)")
            #expect(port.sentFrames > full && port.segmentCopies > full / 2, "\(port)")
            try await lan.stop()
        }

        /// Lets the guest send a file, and answers as another guest would.
        private func sendFile(from guest: Guest, to host: LANHost, on lan: SwitchProcess)
            async throws -> Int
        {
            let listener = try await NetworkSocket.listening(
                host.namespace, at: host.address, 5001)
            async let transfer = guest.transfer(byteCount, to: host.address)
            let file = lan.socket("received")
            let connection = try await host.namespace.run {
                let connection = try listener.accept()
                try Data(connection.receiveAll()).write(to: URL(fileURLWithPath: file))
                return connection
            }
            let answer = try await Self.description(of: file) + "\n"
            try await host.namespace.run {
                _ = try Array(answer.utf8).withUnsafeBytes { try connection.send($0) }
                connection.finish()
            }
            return Int(try await transfer.megabitsPerSecond)
        }

        /// Sends the guest a file, and compares what it says of it.
        private func sendFile(from host: LANHost, to guest: Guest, on lan: SwitchProcess)
            async throws -> Int
        {
            let file = lan.socket("sent")
            let started = ContinuousClock.now
            let count = byteCount
            try Data(KnownBytes.bytes(from: 0, count)).write(to: URL(fileURLWithPath: file))
            let connection = try await NetworkSocket.connected(
                host.namespace, to: guest.address, 5001)
            let answer = try await host.namespace.run {
                try connection.sendKnownBytes(count)
                return try connection.receiveAll()
            }
            let duration = ContinuousClock.now - started
            #expect(
                String(decoding: answer, as: UTF8.self)
                    == (try await Self.description(of: file)) + "\n")
            return Int(Double(count) * 8e-6 / (duration / .seconds(1)))
        }

        /// Length and checksum of a file, as guests write them.
        private static func description(of file: String) async throws -> String {
            let sum = try await ChildProcess.run(["md5sum", file]).standardOutput
            let length = try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int
            return "\(length ?? -1) \(sum.prefix(32))"
        }
    }
}

extension NetworkSocket {
    /// Reads a stream to its end.
    fileprivate func receiveAll() throws -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        while true {
            let count = try buffer.withUnsafeMutableBytes { try receive($0) }
            guard count > 0 else { return bytes }
            bytes += buffer[..<count]
        }
    }
}
