import Support
import SwitchCore
import Testing

/// Frames made to fit a vnet egress: segments get smaller, and nothing else changes.
@Suite struct VnetFitTests {
    private func packet(
        _ transport: PacketBuilder.Transport = .tcp, payload count: Int, isIPv6: Bool = false
    ) -> PacketBuilder {
        var packet = PacketBuilder()
        packet.transport = transport
        packet.isIPv6 = isIPv6
        packet.checksum = .partial
        packet.payload = [UInt8](repeating: 3, count: count)
        return packet
    }

    private func vnet(_ packet: PacketBuilder, gsoSize: Int) -> GuardedFrame {
        let frame = GuardedFrame(packet.bytes, header: packet.vnetHeader(gsoSize: gsoSize))
        #expect(inspectVnet(frame.address, length: frame.length, maxFrame: 1518) == .fine)
        return frame
    }

    private func raw(_ packet: PacketBuilder) -> GuardedFrame {
        let frame = GuardedFrame(packet.bytes)
        inspectRaw(frame.address, length: frame.length)
        return frame
    }

    private func fit(_ frame: GuardedFrame, mtu: Int = 1500, maxFrame: Int = 1518) -> Bool {
        let bytes = frame.bytes
        defer { #expect(frame.bytes == bytes) }
        return fitForVnet(frame.address, length: frame.length, mtu: mtu, maxFrame: maxFrame)
    }

    @Test func `a frame that fits stays as it is`() {
        for header in [VirtioNetHeader(), VirtioNetHeader(flags: 2)] {
            let frame = GuardedFrame([UInt8](repeating: 1, count: 1518), header: header)
            #expect(fit(frame))
            #expect(!fit(frame, maxFrame: 1517))
            #expect(frame.header == header)
        }
        let frame = raw(packet(payload: 1460))
        let header = frame.header
        #expect(fit(frame))
        #expect(frame.header == header)
    }

    @Test(arguments: [false, true])
    func `the segments of TCP are made smaller, never larger`(isIPv6: Bool) {
        let packet = packet(payload: 9000, isIPv6: isIPv6)
        let frame = vnet(packet, gsoSize: 1440)
        var header = frame.header
        let steps = [
            (mtu: 9000, maxFrame: 9018, size: 1440), (1480, 1518, isIPv6 ? 1420 : 1440),
            (1500, 1454, isIPv6 ? 1380 : 1400), (1500, 1518, isIPv6 ? 1380 : 1400),
            (isIPv6 ? 61 : 41, 1518, 1), (9000, 9018, 1),
        ]
        for (mtu, maxFrame, size) in steps {
            #expect(fit(frame, mtu: mtu, maxFrame: maxFrame))
            header.gsoSize = UInt16(size)
            #expect(frame.header == header)
        }
        #expect(!fit(frame, mtu: isIPv6 ? 60 : 40))
        #expect(frame.header == header)
    }

    @Test func `UDP fits as it is or not at all`() {
        let frame = vnet(packet(.udp, payload: 5000), gsoSize: 1472)
        let header = frame.header
        #expect(fit(frame, mtu: 1500, maxFrame: 1514))
        #expect(!fit(frame, mtu: 1499))
        #expect(!fit(frame, maxFrame: 1513))
        #expect(frame.header == header)
        // One datagram, shorter than its size says.
        let lone = vnet(packet(.udp, payload: 100), gsoSize: 1472)
        #expect(fit(lone, mtu: 128, maxFrame: 142))
        #expect(!fit(lone, mtu: 127, maxFrame: 142))
    }

    @Test(arguments: [false, true], [PacketBuilder.Checksum.partial, .complete])
    func `a large TCP frame from a raw port becomes one to be cut`(
        isIPv6: Bool, checksum: PacketBuilder.Checksum
    ) {
        var packet = packet(payload: 9000, isIPv6: isIPv6)
        packet.checksum = checksum
        packet.tags = [(0x8100, 5)]
        let frame = raw(packet)
        var header = packet.vnetHeader(gsoSize: isIPv6 ? 1440 : 1460)
        header.bufferCount = 1
        #expect(fit(frame))
        #expect(frame.header == header)
        // A narrower port of the same flood.
        #expect(fit(frame, mtu: 1000))
        header.gsoSize -= 500
        #expect(frame.header == header)
        let inspected = GuardedFrame(frame.bytes, header: frame.header)
        #expect(inspectVnet(inspected.address, length: inspected.length, maxFrame: 1) == .fine)
    }

    @Test func `CWR asks for the ECN bit`() {
        for isIPv6 in [false, true] {
            var packet = packet(payload: 9000, isIPv6: isIPv6)
            packet.flags = 0x90
            let frame = raw(packet)
            #expect(fit(frame))
            #expect(frame.header.gsoType == (isIPv6 ? 0x84 : 0x81))
        }
    }

    /// A tag makes a frame longer, not its packet: between MTU + 14 and the longest frame lie
    /// packets that are too long without one.
    @Test func `a packet above the MTU is cut though its frame is not too long`() {
        let frame = raw(packet(payload: 1461))
        #expect(frame.length <= 1518)
        #expect(fit(frame))
        #expect(frame.header.gsoSize == 1460)
        var tagged = packet(payload: 1460)
        tagged.tags = [(0x8100, 5)]
        let whole = raw(tagged)
        #expect(fit(whole))
        #expect(whole.header.gsoType == 0)
    }

    @Test func `what cannot be cut fits as it is or not at all`() {
        var urgent = packet(payload: 1464)
        urgent.flags = 0x30
        var fragment = packet(payload: 1464)
        fragment.fragment = 0x2000
        for packet in [urgent, fragment, packet(.udp, payload: 1476)] {
            let frame = raw(packet)
            let header = frame.header
            #expect(frame.length == 1518)
            #expect(fit(frame))
            #expect(!fit(frame, maxFrame: 1517))
            #expect(frame.header == header)
        }
        #expect(!fit(raw(packet(payload: 9000)), mtu: 40))
        #expect(!fit(raw(packet(payload: 9000)), mtu: 0, maxFrame: 0))
    }

    @Test(arguments: Seeds.list(200))
    func `what fits random ports can be cut to fit them`(seed: UInt64) {
        let note: Comment = "RINGSWITCH_SEED=\(seed)"
        var generator = SeededGenerator(seed: seed)
        let packet = PacketBuilder.random(using: &generator)
        let frame =
            Bool.random(using: &generator)
            ? raw(packet) : vnet(packet, gsoSize: Int.random(in: 1...9000, using: &generator))
        for _ in 0..<4 {
            let mtu = Int.random(in: 500...9000, using: &generator)
            let maxFrame = mtu + Int.random(in: 0...30, using: &generator)
            let before = frame.header
            let fits = fit(frame, mtu: mtu, maxFrame: maxFrame)
            let after = frame.header
            guard fits else {
                #expect(after == before, note)
                continue
            }
            #expect(before.gsoType == 0 || after.gsoSize <= before.gsoSize, note)
            if after.gsoType == 0 {
                #expect(frame.length <= maxFrame, note)
            } else {
                let size = min(Int(after.gsoSize), packet.payload.count)
                #expect(packet.headerLength + size <= maxFrame, note)
                #expect(packet.headerLength - packet.network + size <= mtu, note)
            }
        }
    }
}
