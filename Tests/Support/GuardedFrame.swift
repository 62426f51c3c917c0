import Glibc
public import SwitchCore

/// One frame with its virtio header in memory whose end, or begin, no access survives.
public final class GuardedFrame {
    /// What watches over its ends.
    public enum Placement: Sendable, CaseIterable {
        /// The byte behind the frame lies on a page that cannot be touched.
        case end
        /// The byte before the header does.
        case start
        /// Both ends are those of an allocation: for the address sanitizer.
        case heap
    }

    /// The frame's first byte; the header lies before it.
    public let address: UnsafeMutableRawPointer
    /// Bytes of the frame.
    public let length: Int
    /// The pages around it, unless it lies on the heap.
    private let mapping: UnsafeMutableRawBufferPointer?

    /// Copies a frame, and writes the header before it.
    public init(
        _ bytes: [UInt8], header: VirtioNetHeader = VirtioNetHeader(),
        at placement: Placement = .end
    ) {
        length = bytes.count
        if placement == .heap {
            mapping = nil
            address =
                .allocate(byteCount: VirtioNetHeader.length + length, alignment: 1)
                + VirtioNetHeader.length
        } else {
            let page = 4096
            let room = (length + VirtioNetHeader.length + page - 1) / page * page
            let size = room + 2 * page
            let start = mmap(nil, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            guard let start, start != MAP_FAILED,
                mprotect(start + page, room, PROT_READ | PROT_WRITE) == 0
            else { fatalError("no memory for a frame: errno \(errno)") }
            mapping = UnsafeMutableRawBufferPointer(start: start, count: size)
            let first = start + page
            address = first + (placement == .end ? room - length : VirtioNetHeader.length)
        }
        bytes.withUnsafeBytes {
            if let base = $0.baseAddress { address.copyMemory(from: base, byteCount: $0.count) }
        }
        header.store(before: address)
    }

    deinit {
        if let mapping {
            munmap(mapping.baseAddress, mapping.count)
        } else {
            (address - VirtioNetHeader.length).deallocate()
        }
    }

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
    public func segments(
        of frame: GuardedFrame, at placement: GuardedFrame.Placement = .end
    ) -> [[UInt8]] {
        (0..<count).map { index in
            let scratch = GuardedFrame(
                [UInt8](repeating: 0xEE, count: headerLength), at: placement)
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
