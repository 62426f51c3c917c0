import Support
import SwitchCore
import Testing

/// The 12 bytes before a frame, as the kernel and other programs read them.
@Suite struct VirtioNetHeaderTests {
    private let header = VirtioNetHeader(
        flags: 0x01, gsoType: 0x84, headerLength: 0x1213, gsoSize: 0x2223, checksumStart: 0x3233,
        checksumOffset: 0x4243, bufferCount: 0x5253)

    @Test func `fields lie in native byte order where struct virtio_net_hdr_v1 has them`() {
        // One byte past an even address: frames need no alignment.
        let frame = GuardedFrame([1, 2, 3], header: header)
        let bytes = (-12..<0).map { frame.address.load(fromByteOffset: $0, as: UInt8.self) }
        let words: [UInt16] = [0x1213, 0x2223, 0x3233, 0x4243, 0x5253]
        let expected =
            [0x01, 0x84] + words.withUnsafeBytes { Array($0) }
        #expect(bytes == expected)
        #expect(frame.header == header)
        #expect(frame.bytes == [1, 2, 3])
    }

    @Test func `a header is plain if its first 8 bytes are zero`() {
        let frame = GuardedFrame([], header: VirtioNetHeader(bufferCount: 1))
        #expect(VirtioNetHeader.isPlain(before: frame.address))
        for offset in -12..<0 {
            frame.header = VirtioNetHeader()
            frame.address.storeBytes(of: 1, toByteOffset: offset, as: UInt8.self)
            #expect(VirtioNetHeader.isPlain(before: frame.address) == (offset >= -4))
        }
    }

    @Test func `types of TCP are told from the others, with and without ECN`() {
        let types: [UInt8] = (0...255).filter { VirtioNetHeader(gsoType: $0).isTCP }
        #expect(types == [1, 4, 0x81, 0x84])
    }
}
