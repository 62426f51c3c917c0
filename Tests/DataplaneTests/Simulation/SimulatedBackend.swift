// A worker's backend that passes everything on to a `SimulatedKernel`.

import CShimsSystem
import Dataplane
import Glibc
import IORing

struct SimulatedBackend: WorkerBackend {
    let kernel: SimulatedKernel
    let peers: (Int32) -> SimulatedPeer?

    func now() -> UInt64 { kernel.clock }

    func stage(_ sends: UnsafeBufferPointer<SendRequest>) -> Int {
        for send in sends { _ = kernel.request(.send(send), mayRefuse: false) }
        return sends.count
    }

    func enter(
        waitingFor count: UInt32, gatheringMicroseconds: UInt32, timeoutNanoseconds: Int64?
    ) -> Int32 {
        kernel.enter(waitingFor: count, timeoutNanoseconds: timeoutNanoseconds)
    }

    func submit() -> Int32 { kernel.submit() }

    func reap(into completions: UnsafeMutableBufferPointer<Completion>) -> Int {
        kernel.reap(into: completions)
    }

    func open(
        slot: UInt32, descriptor: Int32, transport: TransportKind, buffers: inout BufferRing
    ) -> Int32 {
        kernel.open(Int(slot), descriptor, &buffers)
    }

    func close(slot: UInt32, buffers: inout BufferRing) { kernel.close(Int(slot), &buffers) }

    func armReceive(slot: UInt32, transport: TransportKind, tag: CompletionTag) -> Bool {
        kernel.request(.receive(Int(slot), tag))
    }

    func armWritable(slot: UInt32, tag: CompletionTag) -> Bool {
        kernel.request(.poll(Int(slot), tag))
    }

    func armWake() -> Bool {
        kernel.request(
            .wake(CompletionTag(kind: CompletionKind.wake, port: 0, generation: 0, slot: 0)),
            mayRefuse: false)
    }

    func cancelAll(slot: UInt32, tag: CompletionTag) -> Bool {
        kernel.request(.cancel(Int(slot), tag))
    }

    func readBatch(
        descriptor: Int32, into memory: UnsafeMutableRawPointer, stride: Int, capacity: Int,
        lengths: UnsafeMutableBufferPointer<Int32>
    ) -> Int {
        guard let peer = peers(descriptor) else { return -Int(EBADF) }
        return kernel.read(peer, memory, stride: stride, capacity: capacity, lengths)
    }

    func receiveStream(
        descriptor: Int32, _ first: cshims_slice, _ second: cshims_slice
    ) -> Int {
        guard let peer = peers(descriptor) else { return -Int(EBADF) }
        return kernel.readStream(peer, first, second)
    }

    func hasEnded(descriptor: Int32) -> Bool {
        guard let peer = peers(descriptor) else { return true }
        return peer.hasClosed && peer.outbox.isEmpty
    }

    func sendStream(descriptor: Int32, _ pieces: UnsafeBufferPointer<cshims_slice>) -> Int {
        guard let peer = peers(descriptor) else { return -Int(EBADF) }
        return peer.stream.take(pieces, for: peer)
    }

    func outstanding(descriptor: Int32) -> Int { peers(descriptor)?.outstanding ?? 0 }

    func setSendBuffer(descriptor: Int32, bytes: Int) {
        peers(descriptor)?.bound(to: bytes)
    }

    func sendBatch(
        descriptor: Int32, transport: TransportKind,
        _ frames: UnsafeMutableBufferPointer<cshims_gather>
    ) -> Int {
        for slot in kernel.slots.values { kernel.takeBack(slot) }
        guard let peer = peers(descriptor) else { return -Int(EBADF) }
        for (index, frame) in frames.enumerated() {
            let result = peer.offer(frame.bytes)
            if result < 0 { return index > 0 ? index : Int(result) }
        }
        return frames.count
    }
}
