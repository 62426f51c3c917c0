// What must hold whatever a frame and the header before it claim. Two drivers bring frames: the
// random tests, which place them at the edge of forbidden pages, and the fuzzer, which leaves that
// to the address sanitizer.

public import SwitchCore

/// Does everything with one frame that the switch may do, and compares it with a second opinion.
public struct OffloadProperties {
    private let mtu: Int
    private let maxFrame: Int
    private let placement: GuardedFrame.Placement

    /// - Parameters:
    ///   - mtu: longest IP packet of the egress.
    ///   - maxFrame: longest frame of the egress.
    ///   - placement: where frames lie.
    public init(mtu: Int, maxFrame: Int, placement: GuardedFrame.Placement) {
        self.mtu = mtu
        self.maxFrame = maxFrame
        self.placement = placement
    }

    /// A property that does not hold.
    public struct Breach: Error, CustomStringConvertible {
        /// What does not hold.
        public let description: String
    }

    private func expect(_ holds: Bool, _ text: @autoclosure () -> String) throws(Breach) {
        if !holds { throw Breach(description: text()) }
    }

    /// The frame as one from a raw port.
    public func checkRaw(_ bytes: [UInt8], header: VirtioNetHeader) throws(Breach) {
        let frame = GuardedFrame(bytes, header: header, at: placement)
        inspectRaw(frame.address, length: frame.length)
        let packet = ReferencePacket(bytes)
        var expected = VirtioNetHeader(bufferCount: 1)
        var completed = bytes
        if let packet, packet.checksum == packet.pseudoHeaderSum {
            if packet.end == bytes.count {
                expected.flags = VirtioNetHeader.needsChecksum
                expected.checksumStart = UInt16(packet.transport)
                expected.checksumOffset = UInt16(packet.checksumField - packet.transport)
            } else {
                completed = completedBytes(bytes, from: packet.transport, to: packet.end, packet)
            }
        }
        try expect(frame.header == expected, "a raw frame gets the header \(frame.header)")
        try expect(frame.bytes == completed, "inspecting changed a raw frame")
        try checkEgress(frame, packet: ReferencePacket(completed))
    }

    /// The frame as one from a vnet port of these properties' longest frame.
    /// - Returns: whether its header was found fine.
    @discardableResult
    public func checkVnet(_ bytes: [UInt8], header: VirtioNetHeader) throws(Breach) -> Bool {
        let frame = GuardedFrame(bytes, header: header, at: placement)
        let found = inspectVnet(frame.address, length: frame.length, maxFrame: maxFrame)
        try expect(frame.bytes == bytes, "inspecting changed a vnet frame")
        let packet = ReferencePacket(bytes)
        let isLarge = header.gsoType != VirtioNetHeader.gsoNone
        guard found == .fine else {
            let isShort = bytes.count <= maxFrame
            try expect(
                found == .invalid || (!isLarge && !isShort), "a frame that fits is oversize")
            return false
        }
        let after = frame.header
        try expect(after.bufferCount == 0, "a vnet frame is marked as raw")
        try expect(isLarge || bytes.count <= maxFrame, "a frame that does not fit is fine")
        if after.needsChecksum {
            let start = Int(after.checksumStart)
            let field = start + Int(after.checksumOffset)
            try expect(start >= 14 && field + 2 <= bytes.count, "the checksum lies outside")
        }
        if isLarge {
            guard let packet else { throw Breach(description: "a large frame is no packet") }
            let type: UInt8 = packet.isTCP ? packet.isIPv6 ? 4 : 1 : 5
            try expect(after.gsoType & 0x7F == type, "the type of a large frame is wrong")
            try expect(after.gsoSize > 0, "segments of nothing")
            try expect(Int(after.headerLength) == packet.payload, "the header's length is wrong")
            try expect(
                !after.needsChecksum
                    || Int(after.checksumStart) == packet.transport
                        && Int(after.checksumStart + after.checksumOffset) == packet.checksumField,
                "a large frame's checksum lies elsewhere")
        }
        let again = inspectVnet(frame.address, length: frame.length, maxFrame: maxFrame)
        try expect(again == .fine && frame.header == after, "inspecting twice differs")
        try checkEgress(frame, packet: packet)
        return true
    }

    private func copy(_ frame: GuardedFrame) -> GuardedFrame {
        GuardedFrame(frame.bytes, header: frame.header, at: placement)
    }

    /// The bytes with the sum over a range as checksum.
    private func completedBytes(
        _ bytes: [UInt8], from start: Int, to end: Int, _ packet: ReferencePacket
    ) -> [UInt8] {
        completedBytes(bytes, from: start, to: end, field: packet.checksumField)
    }

    private func completedBytes(
        _ bytes: [UInt8], from start: Int, to end: Int, field: Int
    ) -> [UInt8] {
        var result = bytes
        let sum = ~naiveSum(bytes[start..<end])
        result.store(wire: sum == 0 ? 0xFFFF : sum, at: field)
        return result
    }

    /// An inspected frame on its way out.
    private func checkEgress(
        _ frame: GuardedFrame, packet: ReferencePacket?
    ) throws(Breach) {
        try checkCompletion(frame)
        try checkFit(frame, packet: packet)
        try checkCut(frame, packet: packet)
    }

    private func checkCompletion(_ frame: GuardedFrame) throws(Breach) {
        let whole = copy(frame)
        var header = frame.header
        completeChecksum(whole.address, length: whole.length)
        var expected = frame.bytes
        if header.needsChecksum {
            let start = Int(header.checksumStart)
            expected = completedBytes(
                expected, from: start, to: expected.count,
                field: start + Int(header.checksumOffset))
            header.flags &= ~VirtioNetHeader.needsChecksum
            header.checksumStart = 0
            header.checksumOffset = 0
        }
        try expect(whole.bytes == expected, "the completed checksum is wrong")
        try expect(whole.header == header, "completing leaves the header \(whole.header)")
    }

    private func checkFit(_ frame: GuardedFrame, packet: ReferencePacket?) throws(Breach) {
        let fitted = copy(frame)
        let before = frame.header
        let fits = fitForVnet(
            fitted.address, length: fitted.length, mtu: mtu, maxFrame: maxFrame)
        let after = fitted.header
        try expect(fitted.bytes == frame.bytes, "fitting changed the frame")
        guard fits else {
            return try expect(after == before, "a frame that does not fit got another header")
        }
        guard after.gsoType != VirtioNetHeader.gsoNone else {
            try expect(after == before, "a plain frame got another header")
            return try expect(fitted.length <= maxFrame, "a frame too long fits")
        }
        guard let packet else { throw Breach(description: "what is no packet is to be cut") }
        let isOld = before.gsoType == after.gsoType
        try expect(!isOld || after.gsoSize <= before.gsoSize, "segments became larger")
        let size = min(Int(after.gsoSize), packet.end - packet.payload)
        try expect(packet.payload + size <= maxFrame, "segments are longer than a frame")
        try expect(packet.payload - packet.network + size <= mtu, "segments exceed the MTU")
        // The kernel, or whoever reads the header next, finds it true.
        let found = inspectVnet(fitted.address, length: fitted.length, maxFrame: maxFrame)
        try expect(found == .fine, "fitting made a header that is not true")
        var expected = after
        expected.bufferCount = 0
        try expect(fitted.header == expected, "fitting made a header that is not canonical")
    }

    private func checkCut(_ frame: GuardedFrame, packet: ReferencePacket?) throws(Breach) {
        let cut = Segmentation(frame.address, length: frame.length, mtu: mtu, maxFrame: maxFrame)
        guard let cut else { return }
        guard let packet else { throw Breach(description: "what is no packet is cut") }
        try expect(cut.headerLength == packet.payload, "the headers' length is wrong")
        try expect((1...Segmentation.countMax).contains(cut.count), "\(cut.count) segments")
        var payload: [UInt8] = []
        // What is wrong with the whole frame's checksum, and so with that of each segment.
        let sum =
            frame.header.needsChecksum
            ? naiveAdd(packet.pseudoHeaderSum, ~packet.checksum) : packet.wholeSum
        let isWithout = !packet.isTCP && packet.checksum == 0 && !frame.header.needsChecksum
        for (index, bytes) in cut.segments(of: frame, at: placement).enumerated() {
            try expect(bytes.count <= maxFrame, "a segment is longer than a frame")
            try expect(bytes.count - packet.network <= mtu, "a segment exceeds the MTU")
            guard let segment = ReferencePacket(bytes), segment.end == bytes.count,
                segment.payload == packet.payload, segment.isNetworkChecksumRight
            else { throw Breach(description: "segment \(index) is no packet") }
            try expect(
                isWithout ? segment.checksum == 0 : isSame(segment.wholeSum, sum),
                "the checksum of segment \(index) is wrong")
            try checkFields(of: segment, index: index, from: packet, cut)
            payload += bytes[segment.payload...]
        }
        try expect(
            payload == Array(packet.bytes[packet.payload..<packet.end]), "the payload differs")
    }

    /// Equal in ones' complement, where 0 and 0xffff are one number.
    private func isSame(_ first: UInt16, _ second: UInt16) -> Bool {
        first == second || (first ^ second == 0xFFFF && (first == 0 || second == 0))
    }

    /// All that a segment's headers say besides lengths and checksums.
    private func checkFields(
        of segment: ReferencePacket, index: Int, from packet: ReferencePacket, _ cut: Segmentation
    ) throws(Breach) {
        var expected = Array(packet.bytes[..<packet.payload])
        var found = Array(segment.bytes[..<segment.payload])
        let network = packet.network
        let transport = packet.transport
        if packet.isIPv6 {
            expected.store(wire: found.wire(at: network + 4), at: network + 4)
        } else {
            let number = expected.wire(at: network + 4) &+ UInt16(truncatingIfNeeded: index)
            expected.store(wire: number, at: network + 4)
            for offset in [2, 10] {
                expected.store(wire: found.wire(at: network + offset), at: network + offset)
            }
        }
        if packet.isTCP {
            let number =
                UInt32(expected.wire(at: transport + 4)) << 16
                | UInt32(expected.wire(at: transport + 6))
            let next = number &+ UInt32(truncatingIfNeeded: index * cut.segmentSize)
            expected.store(wire: UInt16(next >> 16), at: transport + 4)
            expected.store(wire: UInt16(next & 0xFFFF), at: transport + 6)
            if index > 0 { expected[transport + 13] &= 0x7F }
            if index < cut.count - 1 { expected[transport + 13] &= ~0x09 }
        } else {
            expected.store(wire: found.wire(at: transport + 4), at: transport + 4)
        }
        found.store(wire: 0, at: packet.checksumField)
        expected.store(wire: 0, at: packet.checksumField)
        try expect(found == expected, "the headers of segment \(index) are wrong")
    }
}
