// What is done to frames that are not as their egress needs them, one operation a frame of the
// command line; no data plane around it.

import Support
import SwitchCore

/// The operations, by the name of their scenario: each takes how many times it is done, and returns
/// a checksum of what it did.
let offloadScenarios: [String: @Sendable (Int) -> UInt64] = [
    "inspect": runInspection, "checksum": runCompletion, "fit": runFit, "segment": runSegments,
    "cut": runCut,
]

/// A TCP frame as a Linux guest with offloading sends it: time stamps, a partial checksum.
private func guestFrame(payload count: Int) -> GuardedFrame {
    var packet = PacketBuilder()
    packet.transportOptions = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]
    packet.payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    packet.checksum = .partial
    let frame = GuardedFrame(packet.bytes)
    inspectRaw(frame.address, length: frame.length)
    return frame
}

/// A frame of 1514 bytes is inspected.
private func runInspection(_ count: Int) -> UInt64 {
    let frame = guestFrame(payload: 1448)
    var sum: UInt64 = 0
    for _ in 0..<count {
        inspectRaw(frame.address, length: frame.length)
        sum &+= UInt64(frame.address.load(fromByteOffset: -12, as: UInt8.self))
    }
    return sum
}

/// The checksum of a frame of 1514 bytes is completed.
private func runCompletion(_ count: Int) -> UInt64 {
    let frame = guestFrame(payload: 1448)
    let header = frame.header
    var sum: UInt64 = 0
    for _ in 0..<count {
        header.store(before: frame.address)
        completeChecksum(frame.address, length: frame.length)
        sum &+= UInt64(frame.address.loadUnaligned(fromByteOffset: 50, as: UInt16.self))
    }
    return sum
}

/// A frame of 64 KiB is made to fit a vnet port of another MTU.
private func runFit(_ count: Int) -> UInt64 {
    let frame = guestFrame(payload: 45 * 1448)
    var sum: UInt64 = 0
    for number in 0..<count {
        let mtu = 1500 - number & 1
        let fits = fitForVnet(frame.address, length: frame.length, mtu: mtu, maxFrame: 1518)
        sum &+= fits ? UInt64(frame.header.gsoSize) : 0
    }
    return sum
}

/// The headers of a segment with 1448 bytes of payload are written.
private func runSegments(_ count: Int) -> UInt64 {
    let frame = guestFrame(payload: 45 * 1448)
    let scratch = GuardedFrame([UInt8](repeating: 0, count: Segmentation.headerLengthMax))
    guard
        let cut = Segmentation(frame.address, length: frame.length, mtu: 1500, maxFrame: 1518)
    else { fatalError("the frame cannot be cut") }
    var sum: UInt64 = 0
    var index = 0
    for _ in 0..<count {
        cut.writeHeader(of: index, frame: frame.address, to: scratch.address)
        sum &+= UInt64(scratch.address.loadUnaligned(fromByteOffset: 50, as: UInt16.self))
        index = index == 44 ? 0 : index &+ 1
    }
    return sum
}

/// It is found out how to cut a frame of 64 KiB; nothing is written yet.
private func runCut(_ count: Int) -> UInt64 {
    let frame = guestFrame(payload: 45 * 1448)
    var sum: UInt64 = 0
    for number in 0..<count {
        let cut = Segmentation(
            frame.address, length: frame.length, mtu: 1500 - number & 1, maxFrame: 1518)
        sum &+= UInt64(cut?.segmentSize ?? 0)
    }
    return sum
}
