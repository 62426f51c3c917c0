import Glibc
public import SwitchCore

/// One frame with its virtio header in memory whose end, or begin, no access survives.
public final class GuardedFrame {
    /// Which of its ends lies at the forbidden page.
    public enum Placement: Sendable, CaseIterable {
        /// The byte behind the frame cannot be read.
        case end
        /// The byte before the header cannot be read.
        case start
    }

    /// The frame's first byte; the header lies before it.
    public let address: UnsafeMutableRawPointer
    /// Bytes of the frame.
    public let length: Int
    private let mapping: UnsafeMutableRawPointer
    private let mappingLength: Int

    /// Copies a frame, and writes the header before it.
    public init(
        _ bytes: [UInt8], header: VirtioNetHeader = VirtioNetHeader(),
        at placement: Placement = .end
    ) {
        let page = 4096
        let room = (bytes.count + VirtioNetHeader.length + page - 1) / page * page
        mappingLength = room + 2 * page
        mapping = mmap(nil, mappingLength, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        precondition(mapping != MAP_FAILED)
        precondition(mprotect(mapping + page, room, PROT_READ | PROT_WRITE) == 0)
        length = bytes.count
        switch placement {
        case .end: address = mapping + page + room - bytes.count
        case .start: address = mapping + page + VirtioNetHeader.length
        }
        bytes.withUnsafeBytes {
            if let base = $0.baseAddress { address.copyMemory(from: base, byteCount: $0.count) }
        }
        header.store(before: address)
    }

    deinit { munmap(mapping, mappingLength) }

    /// The frame as it is now.
    public var bytes: [UInt8] {
        Array(UnsafeRawBufferPointer(start: address, count: length))
    }

    /// The header as it is now.
    public var header: VirtioNetHeader {
        get { VirtioNetHeader.load(before: address) }
        set { newValue.store(before: address) }
    }
}

extension VirtioNetHeader {
    /// A header with these fields.
    public init(
        flags: UInt8 = 0, gsoType: UInt8 = 0, headerLength: Int = 0, gsoSize: Int = 0,
        checksumStart: Int = 0, checksumOffset: Int = 0, bufferCount: UInt16 = 0
    ) {
        self.init()
        self.flags = flags
        self.gsoType = gsoType
        self.headerLength = UInt16(headerLength)
        self.gsoSize = UInt16(gsoSize)
        self.checksumStart = UInt16(checksumStart)
        self.checksumOffset = UInt16(checksumOffset)
        self.bufferCount = bufferCount
    }
}

extension Segmentation {
    /// All segments, headers and payload, as they would be sent.
    public func segments(of frame: GuardedFrame) -> [[UInt8]] {
        (0..<count).map { index in
            let scratch = GuardedFrame([UInt8](repeating: 0xEE, count: headerLength))
            writeHeader(of: index, frame: frame.address, to: scratch.address)
            let (offset, length) = payload(of: index)
            return scratch.bytes
                + Array(UnsafeRawBufferPointer(start: frame.address + offset, count: length))
        }
    }
}

extension PacketBuilder {
    /// The header with which a vnet port hands the packet over, to be cut to segments of `gsoSize`.
    public func vnetHeader(gsoSize: Int) -> VirtioNetHeader {
        var header = VirtioNetHeader(
            gsoType: transport == .udp ? 5 : isIPv6 ? 4 : 1, headerLength: headerLength,
            gsoSize: gsoSize)
        if case .partial = checksum {
            header.flags = VirtioNetHeader.needsChecksum
            header.checksumStart = UInt16(transportStart)
            header.checksumOffset = UInt16(checksumOffset)
        }
        return header
    }
}
