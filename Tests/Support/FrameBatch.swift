public import SwitchCore

/// A batch of frames that owns its memory, each frame in an allocation of exactly its own size, so
/// that AddressSanitizer sees any access beyond it.
public final class FrameBatch {
    /// One frame to put into a batch.
    public struct Item: Sendable {
        /// The frame.
        public var bytes: [UInt8]
        /// The port by which it comes in.
        public var ingress: PortID

        /// A frame from bytes.
        public init(_ bytes: [UInt8], from ingress: PortID) {
            self.bytes = bytes
            self.ingress = ingress
        }

        /// A frame from a builder.
        public init(_ builder: FrameBuilder, from ingress: PortID) {
            self.init(builder.bytes, from: ingress)
        }
    }

    private let frames: UnsafeMutableBufferPointer<Frame>
    private let memory: [UnsafeMutableRawPointer]

    /// Copies the items.
    public init(_ items: [Item]) {
        memory = items.map { item in
            let address = UnsafeMutableRawPointer.allocate(
                byteCount: max(item.bytes.count, 1), alignment: 1)
            address.copyMemory(from: item.bytes, byteCount: item.bytes.count)
            return address
        }
        frames = .allocate(capacity: items.count)
        for (index, item) in items.enumerated() {
            frames.initializeElement(
                at: index,
                to: Frame(
                    address: memory[index], length: Int32(item.bytes.count),
                    ingress: item.ingress, bufferID: UInt16(truncatingIfNeeded: index)))
        }
    }

    deinit {
        frames.deallocate()
        for address in memory { address.deallocate() }
    }

    /// Classifies the batch.
    public func classified(
        table: UnsafePointer<ConnectionTable>, macTable: MACTable, now: UInt32,
        counters: CounterTable
    ) -> [Verdict] {
        Array(unsafeUninitializedCapacity: frames.count) { verdicts, count in
            classify(
                frames: UnsafeBufferPointer(frames), into: verdicts, table: table,
                macTable: macTable, now: now, counters: counters)
            count = frames.count
        }
    }
}
