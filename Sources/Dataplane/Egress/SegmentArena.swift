// Where the segments of large frames are described until the kernel has taken them.
//
// A segment leaves as one datagram gathered from two places: headers made for it, here, and its
// share of the original payload, where that was received. A record holds all that the kernel reads
// of it besides:
//
//     byte  0   struct msghdr, whose vectors are the gather's   for a socket
//     byte 64   cshims_gather: headers, payload   for a device, sendmmsg, and copies
//     byte 96   the headers, up to 256 bytes
//
// The kernel only reads records, so one can serve many ports. They are used in order and all given
// back at once, when no send refers to one any more: a turn that segments little stays in the first
// few, which are warm.

internal import CShimsSystem
internal import Glibc
internal import IORing
internal import SwitchCore

/// A fixed number of segment records; owned by one worker.
struct SegmentArena: ~Copyable {
    /// How many records there are.
    let capacity: Int
    /// How many of them are in use.
    private(set) var count = 0

    private let memory: UnsafeMutableRawPointer

    private static let gatherOffset = 64
    private static let headersOffset = 96
    private static let stride = 384

    /// - Parameter capacity: records, at least as many as one frame may have segments.
    init(capacity: Int) {
        precondition(capacity >= Segmentation.countMax)
        self.capacity = capacity
        memory = .allocate(byteCount: capacity * Self.stride, alignment: 64)
        for index in 0..<capacity {
            let record = memory + index * Self.stride
            var message = msghdr()
            message.msg_iov = (record + Self.gatherOffset).assumingMemoryBound(to: iovec.self)
            message.msg_iovlen = 2
            record.initializeMemory(as: msghdr.self, to: message)
        }
    }

    deinit { memory.deallocate() }

    /// Gives all records back.
    mutating func reset() { count = 0 }

    /// Describes every segment of a frame and returns the index of the first record.
    /// - Precondition: `segmentation.count` records are free; the frame stays where it is until
    ///   `reset`.
    mutating func append(_ segmentation: Segmentation, frame: UnsafeRawPointer) -> Int {
        let first = count
        for index in 0..<segmentation.count {
            let record = memory + (first &+ index) &* Self.stride
            let headers = record + Self.headersOffset
            segmentation.writeHeader(of: index, frame: frame, to: headers)
            let payload = segmentation.payload(of: index)
            (record + Self.gatherOffset).storeBytes(
                of: cshims_gather(
                    head: cshims_slice(
                        address: headers,
                        length: UInt64(truncatingIfNeeded: segmentation.headerLength)),
                    body: cshims_slice(
                        address: frame + payload.offset,
                        length: UInt64(truncatingIfNeeded: payload.length))),
                as: cshims_gather.self)
        }
        count = first &+ segmentation.count
        return first
    }

    /// The `msghdr` of a record.
    func message(at index: Int) -> UnsafeRawPointer {
        UnsafeRawPointer(memory + index &* Self.stride)
    }

    /// The two vectors of a record.
    func vectors(at index: Int) -> UnsafeRawPointer {
        UnsafeRawPointer(memory + (index &* Self.stride &+ Self.gatherOffset))
    }

    /// What the record describes.
    func gather(at index: Int) -> cshims_gather { vectors(at: index).load(as: cshims_gather.self) }

    /// What a record describes, by the address that its send was given.
    static func gather(
        of address: UnsafeRawPointer, operation: SendRequest.Operation
    ) -> cshims_gather {
        operation == .sendMessage
            ? address.load(fromByteOffset: gatherOffset, as: cshims_gather.self)
            : address.load(as: cshims_gather.self)
    }
}
