// A peer that checks what it is sent in whatever form its port has it: nothing above the port's
// limits, headers that its kernel would take, right checksums, every byte in its place and order.

import Dataplane
import Support
import SwitchCore

final class OffloadPeer: SimulatedPeer {
    /// By peer and number of the message, what came of it in bytes.
    private(set) var received: [PortID: [UInt32: Int]] = [:]
    /// By peer, the last message of which something came, and where that ended.
    private var last: [PortID: (number: UInt32, end: UInt32)] = [:]
    /// Frames that came to be cut by the receiver.
    private(set) var largeCount = 0

    override func problem(with bytes: [UInt8]) -> String? {
        guard bytes.count >= shape.prefix + FrameHeader.lengthMin else { return "no frame" }
        let header = VirtioNetHeader(startOf: bytes, shape)
        let frame = Array(bytes[shape.prefix...])
        let packet = ReferencePacket(frame)
        if let problem = headerProblem(header, frame, packet) ?? limitProblem(header, frame, packet)
        {
            return "\(problem), \(header), \(frame.count) bytes: \(frame.prefix(80))"
        }
        if header.gsoType != VirtioNetHeader.gsoNone { largeCount += 1 }
        let source = frame[6..<12].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let station = MACAddress(rawValue: source & ~0x100_0000)
        let ingress = PortID(rawValue: UInt16(truncatingIfNeeded: source & 0xFFF))
        guard station == SimulatedFrame.station(ingress) else { return "a frame of a stranger" }
        if ingress == port { return "its own frame" }
        if source != station.rawValue { return nil }
        return contentProblem(of: frame, header, packet, from: ingress).map {
            "\($0) from \(ingress), \(header), \(frame.count) bytes: \(frame.prefix(80))"
        }
    }

    /// What a kernel would refuse: include/linux/virtio_net.h, virtio_net_hdr_to_skb.
    private func headerProblem(
        _ header: VirtioNetHeader, _ frame: [UInt8], _ packet: ReferencePacket?
    ) -> String? {
        if header.flags & ~3 != 0 || header.bufferCount > 1 { return "an unknown flag" }
        let field = Int(header.checksumStart) + Int(header.checksumOffset)
        if header.needsChecksum, field + 2 > frame.count { return "a checksum outside" }
        guard header.gsoType != VirtioNetHeader.gsoNone else { return nil }
        guard let packet else { return "no packet to be cut" }
        let type =
            packet.isTCP
            ? packet.isIPv6 ? VirtioNetHeader.gsoTCPv6 : VirtioNetHeader.gsoTCPv4
            : VirtioNetHeader.gsoUDPL4
        if header.gsoType & ~VirtioNetHeader.gsoECN != type { return "a wrong type" }
        if Int(header.headerLength) != packet.payload { return "a wrong header length" }
        return header.gsoSize == 0 ? "segments of nothing" : nil
    }

    /// What is longer than the port takes: the frame, or each segment of one that comes uncut.
    private func limitProblem(
        _ header: VirtioNetHeader, _ frame: [UInt8], _ packet: ReferencePacket?
    ) -> String? {
        guard header.gsoType != VirtioNetHeader.gsoNone, let packet else {
            return frame.count > shape.frameLengthMax ? "a frame too long" : nil
        }
        if frame.count > Offload.superframeLengthMax { return "a frame longer than any" }
        let length = packet.payload + min(Int(header.gsoSize), packet.end - packet.payload)
        if length > shape.frameLengthMax { return "a segment too long" }
        guard let mtu = shape.mtu, length - packet.network > mtu else { return nil }
        return "a segment above the MTU"
    }

    /// What is wrong with a message, or a piece of one.
    private func contentProblem(
        of frame: [UInt8], _ header: VirtioNetHeader, _ packet: ReferencePacket?,
        from ingress: PortID
    ) -> String? {
        guard let packet else {
            guard let other = SimulatedFrame(delivered: frame) else { return "damage" }
            return note(ingress, other.number, from: 0, to: 1, bytes: frame.count)
        }
        let isRight =
            header.needsChecksum
            ? packet.checksum == packet.pseudoHeaderSum : packet.wholeSum == 0xFFFF
        guard isRight, packet.isNetworkChecksumRight else { return "a wrong checksum" }
        let payload = frame[packet.payload..<packet.end]
        guard packet.isTCP else { return cellProblem(payload, header, from: ingress) }
        let place = frame.wire32(at: packet.transport + 4)
        guard payload == OffloadStream.stretch(ingress, from: place, count: payload.count) else {
            return "another payload"
        }
        return note(
            ingress, frame.wire32(at: packet.transport + 8), from: place,
            to: place &+ UInt32(payload.count), bytes: payload.count)
    }

    /// Looks at one datagram, or several that come uncut.
    private func cellProblem(
        _ payload: ArraySlice<UInt8>, _ header: VirtioNetHeader, from ingress: PortID
    ) -> String? {
        var rest = payload
        let size = header.gsoType == VirtioNetHeader.gsoNone ? payload.count : Int(header.gsoSize)
        while !rest.isEmpty {
            let cell = Array(rest.prefix(size))
            rest = rest.dropFirst(size)
            guard cell.count >= 8 else { return "a datagram of \(cell.count) bytes" }
            let number = cell.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
            let index = cell.withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
            }
            guard
                cell
                    == OffloadStream.cell(
                        ingress, number: number, index: Int(index), length: cell.count)
            else { return "another datagram" }
            let place = UInt32(index)
            if let problem = note(ingress, number, from: place, to: place + 1, bytes: cell.count) {
                return problem
            }
        }
        return nil
    }

    /// Counts a piece of a message, which must come after all that came before it.
    private func note(
        _ ingress: PortID, _ number: UInt32, from start: UInt32, to end: UInt32, bytes: Int
    ) -> String? {
        if let last = last[ingress] {
            let isLater =
                number == last.number
                ? Int32(bitPattern: start &- last.end) >= 0 : number > last.number
            guard isLater else { return "\(number) at \(start) after \(last)" }
        }
        last[ingress] = (number, end)
        received[ingress, default: [:]][number, default: 0] += bytes
        return nil
    }
}

extension [UInt8] {
    /// The four bytes at `offset`, the highest first.
    fileprivate func wire32(at offset: Int) -> UInt32 {
        UInt32(wire(at: offset)) << 16 | UInt32(wire(at: offset + 2))
    }
}
