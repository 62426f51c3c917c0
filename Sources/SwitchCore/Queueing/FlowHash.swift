// Which flow a frame belongs to.
//
// A flow is what a sender slows down as one: the frames of a protocol between two addresses and two
// ports. Fragments have no ports but the first, so those of a datagram are told by addresses and
// protocol alone; so are packets of IP version 6 with extension headers. What is not IP is told by
// its MAC addresses and type.

/// The hash of a frame's flow.
public enum FlowHash {
    /// Hashes the flow of a frame of `length` readable bytes.
    ///
    /// The two directions of a conversation are two flows. Without the seed nobody knows which
    /// flows have the same hash.
    @_noLocks
    public static func hash(_ frame: UnsafeRawPointer, length: Int, seed: UInt64) -> UInt32 {
        var state = mix(seed, 0x9E37_79B9_7F4A_7C15)
        if let network = NetworkHeader(frame, length: length) {
            absorb(network, of: frame, length: length, into: &state)
        } else {
            absorbLink(frame, length: length, into: &state)
        }
        return UInt32(truncatingIfNeeded: state ^ state >> 32)
    }

    @_noLocks
    private static func absorb(
        _ network: NetworkHeader, of frame: UnsafeRawPointer, length: Int, into state: inout UInt64
    ) {
        let start = frame + network.offset
        let transport: Int
        var isWhole = true
        switch network.version {
        case .four:
            state = mix(state, word(start + 12))
            transport = frame.byte(at: network.offset &+ 9)
            // The flag "more fragments" and the fragment offset.
            isWhole = frame.wireWord(at: network.offset &+ 6) & 0x3FFF == 0
        case .six:
            for part in 0..<4 { state = mix(state, word(start + 8 + 8 * part)) }
            transport = frame.byte(at: network.offset &+ 6)
        }
        let payload = network.offset &+ network.length
        let hasPorts = isWhole && isPorted(transport) && length >= payload &+ 4
        let ports = hasPorts ? frame.loadUnaligned(fromByteOffset: payload, as: UInt32.self) : 0
        state = mix(state, UInt64(ports) << 8 | UInt64(truncatingIfNeeded: transport))
    }

    /// TCP, UDP, DCCP, SCTP and UDP-Lite begin with two ports.
    @_noLocks
    private static func isPorted(_ transport: Int) -> Bool {
        transport == 6 || transport == 17 || transport == 33 || transport == 132
            || transport == 136
    }

    @_noLocks
    private static func absorbLink(
        _ frame: UnsafeRawPointer, length: Int, into state: inout UInt64
    ) {
        guard length >= FrameHeader.lengthMin else { return }
        // The 14 bytes of the header, two of them twice.
        state = mix(state, word(frame))
        state = mix(state, word(frame + 6))
    }

    @_noLocks
    private static func word(_ bytes: UnsafeRawPointer) -> UInt64 {
        bytes.loadUnaligned(as: UInt64.self)
    }

    /// The halves of a product of 128 bits, folded: every bit of both operands reaches every bit.
    /// The state goes in once more, so that no value of a frame makes it forget the seed.
    @_noLocks
    private static func mix(_ state: UInt64, _ value: UInt64) -> UInt64 {
        let product = (state ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(
            by: value ^ 0xE703_7ED1_A0B4_28DB)
        return product.high ^ product.low ^ state
    }
}
