// What a worker needs of the kernel. `RingBackend` is io_uring; tests play the kernel with a
// backend of their own.

public import CShimsSystem
public import IORing

/// The kernel's side of a worker: requests in, completions out, and the clock.
///
/// A worker calls its backend from one thread only.
public protocol WorkerBackend: ~Copyable {
    /// Monotonic time in nanoseconds.
    mutating func now() -> UInt64
    /// Stages sends for the next `enter`; returns how many found room.
    mutating func stage(_ sends: UnsafeBufferPointer<SendRequest>) -> Int
    /// Submits what is staged and waits for `count` completions, at most `timeoutNanoseconds` (nil:
    /// for ever); after `gatheringMicroseconds` one is enough.
    ///
    /// All staged sends have finished when it returns.
    mutating func enter(
        waitingFor count: UInt32, gatheringMicroseconds: UInt32, timeoutNanoseconds: Int64?
    ) -> Int32
    /// Submits what is staged without looking for arrivals; all staged sends have finished when it
    /// returns.
    mutating func submit() -> Int32
    /// Moves completions into `completions` and returns how many.
    mutating func reap(into completions: UnsafeMutableBufferPointer<Completion>) -> Int
    /// Makes a descriptor known under `slot`, and the buffers that the kernel receives a socket's
    /// frames into; 0 or -errno.
    mutating func open(
        slot: UInt32, descriptor: Int32, transport: TransportKind, buffers: inout BufferRing
    ) -> Int32
    /// Forgets what `open` made known. Every request on the slot must have completed.
    mutating func close(slot: UInt32, buffers: inout BufferRing)
    /// Starts receiving. A socket's frames go into the slot's buffers, one completion each until
    /// one says that it was the last; a device answers once, when there is something to read.
    mutating func armReceive(slot: UInt32, transport: TransportKind, tag: CompletionTag) -> Bool
    /// Asks for one completion when the slot can be written to.
    mutating func armWritable(slot: UInt32, tag: CompletionTag) -> Bool
    /// Asks for a completion of kind `CompletionKind.wake` whenever another thread wants the
    /// worker's attention.
    mutating func armWake() -> Bool
    /// Cancels every request on the slot; the completion with `tag` is the last.
    mutating func cancelAll(slot: UInt32, tag: CompletionTag) -> Bool
    /// Reads a device's frames now until it has no more: frame i to `memory` + i * `stride`, its
    /// length to `lengths`. The number read, or -errno when it is none.
    mutating func readBatch(
        descriptor: Int32, into memory: UnsafeMutableRawPointer, stride: Int, capacity: Int,
        lengths: UnsafeMutableBufferPointer<Int32>
    ) -> Int
    /// Reads a stream now, the first place before the second; the number of bytes, 0 at its end, or
    /// -errno.
    mutating func receiveStream(
        descriptor: Int32, _ first: cshims_slice, _ second: cshims_slice
    ) -> Int
    /// Whether a peer has closed its end and nothing more can be read from it: a packet of no bytes
    /// reads like that.
    mutating func hasEnded(descriptor: Int32) -> Bool
    /// Bytes that wait in a socket for its peer, as the kernel charges them.
    mutating func outstanding(descriptor: Int32) -> Int
    /// Bounds the bytes that may wait in a socket (SO_SNDBUF as getsockopt tells it).
    mutating func setSendBuffer(descriptor: Int32, bytes: Int)
    /// Sends frames now, in order, up to the first refusal; the number sent, or -errno when it is
    /// none.
    mutating func sendBatch(
        descriptor: Int32, transport: TransportKind,
        _ frames: UnsafeMutableBufferPointer<cshims_gather>
    ) -> Int
    /// Writes pieces to a stream now, one behind the other, as far as there is room; the number of
    /// bytes, or -errno when it is none.
    mutating func sendStream(
        descriptor: Int32, _ pieces: UnsafeBufferPointer<cshims_slice>
    ) -> Int
}
