// What the tests of the egress queue put in and look for.

import CShimsSystem
import Support
import SwitchCore

@testable import Dataplane

enum QueueFixture {
    /// A UDP datagram of `length` bytes, of the flow with this number; its payload begins with
    /// `serial`.
    static func datagram(flow: Int, serial: Int = 0, length: Int = 1000, ecn: UInt8 = 0) -> [UInt8]
    {
        var packet = PacketBuilder()
        packet.transport = .udp
        packet.sourcePort = UInt16(1000 + flow)
        packet.trafficClass = ecn
        packet.payload = (0..<4).map { UInt8(truncatingIfNeeded: serial >> (8 * $0)) }
        packet.payload += Array(repeating: 7, count: length - packet.length)
        return packet.bytes
    }

    /// The flow of a datagram.
    static func flow(_ bytes: [UInt8]) -> Int { Int(bytes[34]) << 8 + Int(bytes[35]) - 1000 }

    /// The number of a datagram in its flow.
    static func serial(_ bytes: [UInt8]) -> Int {
        (0..<4).reduce(0) { $0 + Int(bytes[42 + $1]) << (8 * $1) }
    }

    /// Bytes of the headers of Ethernet, IPv4 and UDP.
    private static let headerLength = 42

    /// Appends a frame in two pieces, its headers and its payload, as a segment comes.
    static func append(
        _ bytes: [UInt8], to queue: inout EgressQueue, from ingress: Int = 0, now: UInt64 = 0,
        limit: Int = .max, counting count: WaitingCount? = nil
    ) -> Bool {
        bytes.withUnsafeBytes { memory in
            guard let start = memory.baseAddress else { return false }
            let split = min(headerLength, bytes.count)
            let frame = cshims_gather(
                head: cshims_slice(address: start, length: UInt64(split)),
                body: cshims_slice(address: start + split, length: UInt64(bytes.count - split)))
            return queue.append(
                frame, from: PortID(index: ingress), now: now, limit: limit, counting: count)
        }
    }

    /// Chooses up to `count` frames.
    static func choose(
        _ count: Int = 64, of queue: inout EgressQueue, now: UInt64 = 0
    ) -> [[UInt8]] {
        let frames = UnsafeMutableBufferPointer<cshims_gather>.allocate(capacity: 64)
        defer { frames.deallocate() }
        let chosen = queue.choose(count, room: .max, into: frames, now: now)
        return (0..<chosen).map { frames[$0].bytes }
    }

    /// Takes up to `count` frames, one at a time as from a slow peer.
    static func take(_ count: Int, of queue: inout EgressQueue, now: UInt64 = 0) -> [[UInt8]] {
        var taken: [[UInt8]] = []
        while taken.count < count, let frame = choose(1, of: &queue, now: now).first {
            queue.removeFirst(1)
            taken.append(frame)
        }
        return taken
    }
}
