public import SwitchCore

/// A batch of frames that owns its memory, each frame in an allocation of its own that ends with it
/// and begins with a virtio header of zeros, so that AddressSanitizer sees any access beyond.
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
    /// Where the virtio headers are, and behind each its frame.
    private let memory: [UnsafeMutableRawPointer]

    /// Copies the items.
    public init(_ items: [Item]) {
        memory = items.map { item in
            let header = VirtioNetHeader.length
            let address = UnsafeMutableRawPointer.allocate(
                byteCount: header + max(item.bytes.count, 1), alignment: 1)
            address.initializeMemory(as: UInt8.self, repeating: 0, count: header)
            (address + header).copyMemory(from: item.bytes, byteCount: item.bytes.count)
            return address
        }
        frames = .allocate(capacity: items.count)
        for (index, item) in items.enumerated() {
            frames.initializeElement(
                at: index,
                to: Frame(
                    address: memory[index] + VirtioNetHeader.length,
                    length: Int32(item.bytes.count),
                    ingress: item.ingress, bufferID: UInt16(truncatingIfNeeded: index)))
        }
    }

    deinit {
        frames.deallocate()
        for address in memory { address.deallocate() }
    }

    /// Classifies the batch.
    public func classified(
        table: UnsafePointer<ConnectionTable>, macTable: MACTable, floodMeters: FloodMeters,
        now: UInt64, counters: CounterTable
    ) -> [Verdict] {
        Array(unsafeUninitializedCapacity: frames.count) { verdicts, count in
            classify(
                frames: UnsafeBufferPointer(frames), into: verdicts, table: table,
                macTable: macTable, floodMeters: floodMeters, now: now, counters: counters)
            count = frames.count
        }
    }
}
