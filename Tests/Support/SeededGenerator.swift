/// xorshift64*: a small, fast generator whose sequence depends on its seed alone.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// Starts the sequence of `seed`.
    public init(seed: UInt64) {
        // Another state for every seed below 2^63, and never zero, as it is odd.
        state = seed &* 2 &+ 0x9E37_79B9_7F4A_7C15
        for _ in 0..<4 { _ = next() }
    }

    /// The next number of the sequence.
    public mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }
}
