// io_uring as a worker's backend, counting the system calls of the turn.
//
// Its clock goes on by a little at each look, whatever the machine does meanwhile: how many calls a
// frame costs shall not depend on how long the test had to wait for a CPU.

import CShimsSystem
import IORing

@testable import Dataplane

struct CountingBackend: ~Copyable, WorkerBackend {
    private var ring: RingBackend
    /// io_uring_enter calls.
    private(set) var enters = 0
    /// sendmmsg calls.
    private(set) var batches = 0
    private var clock: UInt64 = 1_000_000_000

    init(ring: consuming RingBackend) { self.ring = ring }

    mutating func now() -> UInt64 {
        clock += 10_000
        return clock
    }

    mutating func stage(_ sends: UnsafeBufferPointer<SendRequest>) -> Int { ring.stage(sends) }

    mutating func enter(
        waitingFor count: UInt32, gatheringMicroseconds: UInt32, timeoutNanoseconds: Int64?
    ) -> Int32 {
        enters += 1
        return ring.enter(
            waitingFor: count, gatheringMicroseconds: gatheringMicroseconds,
            timeoutNanoseconds: timeoutNanoseconds)
    }

    mutating func submit() -> Int32 {
        enters += 1
        return ring.submit()
    }

    mutating func reap(into completions: UnsafeMutableBufferPointer<Completion>) -> Int {
        ring.reap(into: completions)
    }

    mutating func open(
        slot: UInt32, descriptor: Int32, transport: TransportKind, buffers: inout BufferRing
    ) -> Int32 {
        ring.open(slot: slot, descriptor: descriptor, transport: transport, buffers: &buffers)
    }

    mutating func close(slot: UInt32, buffers: inout BufferRing) {
        ring.close(slot: slot, buffers: &buffers)
    }

    mutating func armReceive(slot: UInt32, transport: TransportKind, tag: CompletionTag) -> Bool {
        ring.armReceive(slot: slot, transport: transport, tag: tag)
    }

    mutating func armWritable(slot: UInt32, tag: CompletionTag) -> Bool {
        ring.armWritable(slot: slot, tag: tag)
    }

    mutating func armWake() -> Bool { ring.armWake() }

    mutating func cancelAll(slot: UInt32, tag: CompletionTag) -> Bool {
        ring.cancelAll(slot: slot, tag: tag)
    }

    mutating func readBatch(
        descriptor: Int32, into memory: UnsafeMutableRawPointer, stride: Int, capacity: Int,
        lengths: UnsafeMutableBufferPointer<Int32>
    ) -> Int {
        ring.readBatch(
            descriptor: descriptor, into: memory, stride: stride, capacity: capacity,
            lengths: lengths)
    }

    mutating func receiveStream(
        descriptor: Int32, _ first: cshims_slice, _ second: cshims_slice
    ) -> Int {
        ring.receiveStream(descriptor: descriptor, first, second)
    }

    mutating func hasEnded(descriptor: Int32) -> Bool { ring.hasEnded(descriptor: descriptor) }

    mutating func sendStream(
        descriptor: Int32, _ pieces: UnsafeBufferPointer<cshims_slice>
    ) -> Int {
        batches += 1
        return ring.sendStream(descriptor: descriptor, pieces)
    }

    mutating func outstanding(descriptor: Int32) -> Int {
        ring.outstanding(descriptor: descriptor)
    }

    mutating func setSendBuffer(descriptor: Int32, bytes: Int) {
        ring.setSendBuffer(descriptor: descriptor, bytes: bytes)
    }

    mutating func sendBatch(
        descriptor: Int32, transport: TransportKind,
        _ frames: UnsafeMutableBufferPointer<cshims_gather>
    ) -> Int {
        batches += 1
        return ring.sendBatch(descriptor: descriptor, transport: transport, frames)
    }
}
