// io_uring and sockets as the simulation plays them, for one worker.
//
// Like the real one, it executes requests in order inside `submit` and `enter`, posts arrivals only
// inside `enter`, and answers sends only when they fail. It is as unkind as the real one may be:
// multishot receives end at any completion, cancellations answer in any order and late, requests
// find the submission queue full. What the worker does wrong is noted in `fault`.
//
// Provided buffers are followed through the ring's own memory: `entries` are read as the kernel
// reads them, and a buffer that comes back is overwritten at once, so that a frame sent from it
// afterwards is damaged.

import CShimsSystem
import Glibc
import Support
import SwitchCore

@testable import Dataplane
@testable import IORing

final class SimulatedKernel {
    /// A registered file with its buffers.
    final class Slot {
        let peer: SimulatedPeer
        let entries: UnsafeMutableRawPointer
        let pool: UnsafeMutableRawPointer
        let stride: Int
        let count: Int
        /// Bytes that the kernel may write, of what stands before the frame, too.
        let bufferLength: Int
        var head: UInt16 = 0
        var seenTail: UInt16 = 0
        /// By id: whether the kernel has the buffer.
        var isKernels: [Bool]
        var receive: CompletionTag?
        var poll: CompletionTag?
        /// Enters within which a device is read again unasked, as its last read filled all buffers.
        var entersToRead = 0
        /// The ring is only asked whether there is something to read.
        var isDevice: Bool { peer.shape.transport.isPolled }
        /// There are frames, or the end of all.
        var hasArrivals: Bool { !peer.outbox.isEmpty || peer.hasClosed }

        init(peer: SimulatedPeer, buffers: borrowing BufferRing) {
            self.peer = peer
            entries = buffers.entries
            pool = buffers.address(of: 0) - buffers.prefix
            stride = buffers.stride
            count = buffers.count
            bufferLength = buffers.prefix + buffers.bufferLength
            isKernels = Array(repeating: false, count: buffers.count)
        }

        var tail: UInt16 { entries.load(fromByteOffset: 14, as: UInt16.self) }
    }

    enum Request {
        case send(SendRequest)
        case receive(Int, CompletionTag)
        case poll(Int, CompletionTag)
        case cancel(Int, CompletionTag)
        case wake(CompletionTag)
    }

    /// What the last wait would have been.
    enum Wait: Equatable {
        case none, forever
        case upTo(Int64)
    }

    var clock: UInt64 = 1_000_000_000
    /// One receive in so many ends with its completion; 0: none.
    var endingRate: UInt64 = 0
    /// One request in so many finds no room; 0: none.
    var refusalRate: UInt64 = 0
    /// Cancelled requests answer only some enters later.
    var delaysCancels = false
    /// Time that an enter takes which neither waits nor finds anything.
    var lookNanoseconds: UInt64 = 1_000
    /// The errno with which the next `open` fails.
    var openFailure: Int32?

    var slots: [Int: Slot] = [:]
    private(set) var fault: String?
    private(set) var lastWait = Wait.none
    private(set) var enterCount = 0
    private(set) var sendCount = 0
    private var requests: [Request] = []
    private var completions: [Completion] = []
    private var late: [Completion] = []
    private var wakeTag: CompletionTag?
    private var generator: SeededGenerator
    private let wakeDescriptor: Int32
    private let peers: (Int32) -> SimulatedPeer?

    init(seed: UInt64, wakeDescriptor: Int32, peers: @escaping (Int32) -> SimulatedPeer?) {
        generator = SeededGenerator(seed: seed)
        self.wakeDescriptor = wakeDescriptor
        self.peers = peers
    }

    /// Forgets the last wait, so that the next one to be seen is new.
    func forgetWait() { lastWait = .none }

    func note(_ text: String) { fault = fault ?? text }

    /// Whether an `enter` would bring something.
    var hasWork: Bool {
        if !completions.isEmpty || !requests.isEmpty || !late.isEmpty { return true }
        return slots.values.contains {
            (($0.receive != nil || $0.entersToRead > 0) && $0.hasArrivals)
                || ($0.poll != nil && $0.peer.isWritable)
        }
    }

    // MARK: Requests

    /// Takes a request for the next submission.
    func request(_ request: Request, mayRefuse: Bool = true) -> Bool {
        if mayRefuse, refusalRate > 0, generator.next(upperBound: refusalRate) == 0 { return false }
        requests.append(request)
        return true
    }

    func open(_ index: Int, _ descriptor: Int32, _ buffers: inout BufferRing) -> Int32 {
        if let errno = openFailure {
            openFailure = nil
            return -errno
        }
        guard let peer = peers(descriptor) else { return -EBADF }
        if slots[index] != nil { note("slot \(index) was opened twice") }
        if !peer.shape.transport.isPolled {
            for id in 0..<buffers.count { buffers.giveBack(UInt16(id)) }
            buffers.publish()
        }
        slots[index] = Slot(peer: peer, buffers: buffers)
        return 0
    }

    func close(_ index: Int, _ buffers: inout BufferRing) {
        guard let slot = slots.removeValue(forKey: index) else {
            return note("slot \(index) was closed but not open")
        }
        takeBack(slot)
        if slot.receive != nil || slot.poll != nil {
            note("slot \(index) was closed with requests outstanding")
        }
        if !slot.isDevice, slot.isKernels.contains(false) {
            note("slot \(index) was closed without all buffers")
        }
        buffers.poison()
    }

    /// Executes what is staged, in order.
    func submit() -> Int32 {
        for slot in slots.values { takeBack(slot) }
        let count = requests.count
        for request in requests { execute(request) }
        requests.removeAll(keepingCapacity: true)
        return Int32(count)
    }

    private func execute(_ request: Request) {
        switch request {
        case .send(let send): execute(send)
        case .wake(let tag): wakeTag = tag
        case .receive(let index, let tag):
            guard let slot = slots[index] else { return note("a receive on an empty slot") }
            if slot.receive != nil { note("slot \(index) was armed twice") }
            slot.receive = tag
        case .poll(let index, let tag):
            guard let slot = slots[index] else { return note("a poll on an empty slot") }
            if slot.poll != nil { note("slot \(index) was polled twice") }
            slot.poll = tag
        case .cancel(let index, let tag):
            guard let slot = slots[index] else { return note("a cancellation on an empty slot") }
            var answers = [Completion(tag: tag, result: 0, flags: 0)]
            for victim in [slot.receive, slot.poll].compactMap({ $0 }) {
                answers.append(Completion(tag: victim, result: -ECANCELED, flags: 0))
            }
            slot.receive = nil
            slot.poll = nil
            answers.shuffle(using: &generator)
            late += answers
        }
    }

    private func execute(_ send: SendRequest) {
        sendCount += 1
        guard let slot = slots[Int(send.fileSlot)] else { return note("a send to an empty slot") }
        let bytes = gather(of: send).bytes
        if bytes.count != Int(send.length) { note("a send says \(send.length) bytes") }
        let result = slot.peer.offer(bytes)
        if result < 0 { completions.append(Completion(tag: send.tag, result: result, flags: 0)) }
    }

    /// Reads a request as the real kernel does.
    private func gather(of send: SendRequest) -> cshims_gather {
        switch send.operation {
        case .send, .write: return cshims_gather(send.address, length: Int(send.length))
        case .writeVector: return send.address.load(as: cshims_gather.self)
        case .sendMessage:
            let message = send.address.load(as: msghdr.self)
            if message.msg_iovlen != 2 { note("a message of \(message.msg_iovlen) parts") }
            guard let vectors = message.msg_iov else { return cshims_gather() }
            return UnsafeRawPointer(vectors).load(as: cshims_gather.self)
        }
    }

    /// Executes what is staged and brings what has arrived.
    func enter(waitingFor count: UInt32, timeoutNanoseconds: Int64?) -> Int32 {
        enterCount += 1
        let submitted = submit()
        if !late.isEmpty, !delaysCancels || generator.next(upperBound: 3 as UInt64) == 0 {
            completions += late
            late.removeAll()
        }
        for index in slots.keys.sorted() {
            if let slot = slots[index] { arrive(slot) }
        }
        if let wakeTag, isWoken() {
            completions.append(Completion(tag: wakeTag, result: 1, flags: 2))
        }
        lastWait = .none
        if count == 0, completions.isEmpty { clock += lookNanoseconds }
        if count > 0, completions.isEmpty {
            lastWait = timeoutNanoseconds.map { .upTo($0) } ?? .forever
            return -ETIME
        }
        return submitted
    }

    private func isWoken() -> Bool {
        var value: UInt64 = 0
        return Glibc.read(wakeDescriptor, &value, 8) == 8
    }

    func reap(into target: UnsafeMutableBufferPointer<Completion>) -> Int {
        let count = min(target.count, completions.count)
        for index in 0..<count { target[index] = completions[index] }
        completions.removeFirst(count)
        return count
    }

    /// Posts a completion that nobody asked for.
    func postStale(_ completion: Completion) { completions.append(completion) }

    // MARK: Arrivals

    private func arrive(_ slot: Slot) {
        takeBack(slot)
        slot.entersToRead = max(0, slot.entersToRead - 1)
        if let tag = slot.poll, slot.peer.isWritable {
            slot.poll = nil
            completions.append(Completion(tag: tag, result: 4, flags: 0))
        }
        if slot.isDevice {
            guard let tag = slot.receive, slot.hasArrivals else { return }
            return end(slot, tag, 1)
        }
        for _ in 0..<32 {
            guard let tag = slot.receive else { return }
            guard let bytes = slot.peer.outbox.first else {
                return slot.peer.hasClosed ? end(slot, tag, 0) : ()
            }
            if bytes.isEmpty {
                slot.peer.outbox.removeFirst()
                end(slot, tag, 0)
            } else if slot.head == slot.seenTail {
                end(slot, tag, -ENOBUFS)
            } else {
                slot.peer.outbox.removeFirst()
                deliver(bytes, slot, tag)
            }
        }
    }

    /// Reads frames of a device over whatever its buffers hold: what still needs that is damaged.
    func read(
        _ peer: SimulatedPeer, _ memory: UnsafeMutableRawPointer, stride: Int, capacity: Int,
        _ lengths: UnsafeMutableBufferPointer<Int32>
    ) -> Int {
        guard let slot = slots.values.first(where: { $0.peer === peer }) else {
            note("a read of port \(peer.port), which is not open")
            return -Int(EBADF)
        }
        if slot.receive != nil { note("a read of port \(peer.port) while it is asked for") }
        for index in 0..<slot.count {
            (slot.pool + index * stride).initializeMemory(
                as: UInt8.self, repeating: 0xEE, count: capacity)
        }
        let count = min(lengths.count, peer.outbox.count)
        for index in 0..<count {
            let bytes = peer.outbox.removeFirst()
            lengths[index] = Int32(min(bytes.count, capacity))
            bytes.withUnsafeBytes {
                (memory + index * stride).copyMemory(
                    from: $0.baseAddress ?? UnsafeRawPointer(memory),
                    byteCount: min(bytes.count, capacity))
            }
        }
        slot.entersToRead = count == lengths.count ? 3 : 0
        return count > 0 ? count : -Int(EAGAIN)
    }

    /// Reads a stream, as much at a time as pleases the test.
    func readStream(
        _ peer: SimulatedPeer, _ first: cshims_slice, _ second: cshims_slice
    ) -> Int {
        guard let slot = slots.values.first(where: { $0.peer === peer }) else {
            note("a read of port \(peer.port), which is not open")
            return -Int(EBADF)
        }
        if slot.receive != nil { note("a read of port \(peer.port) while it is asked for") }
        let asked = Int(first.length + second.length)
        if asked == 0 { note("a read of no bytes") }
        let count = peer.stream.give(first, second, from: peer)
        slot.entersToRead = count == asked ? 3 : 0
        return count
    }

    private func end(_ slot: Slot, _ tag: CompletionTag, _ result: Int32) {
        slot.receive = nil
        completions.append(Completion(tag: tag, result: result, flags: 0))
    }

    private func deliver(_ bytes: [UInt8], _ slot: Slot, _ tag: CompletionTag) {
        let entry = slot.entries + Int(slot.head) % slot.count * 16
        let address = UnsafeMutableRawPointer(bitPattern: UInt(entry.load(as: UInt64.self)))
        let id = entry.load(fromByteOffset: 12, as: UInt16.self)
        slot.head &+= 1
        slot.isKernels[Int(id)] = false
        guard let address else { return note("a buffer without an address") }
        bytes.withUnsafeBytes {
            guard let start = $0.baseAddress else { return }
            address.copyMemory(from: start, byteCount: min(bytes.count, slot.bufferLength))
        }
        let ends = endingRate > 0 && generator.next(upperBound: endingRate) == 0
        if ends { slot.receive = nil }
        completions.append(
            Completion(
                tag: tag, result: Int32(bytes.count), flags: UInt32(id) << 16 | (ends ? 1 : 3)))
    }

    /// Looks at the buffers that the worker gave back, and writes over them, as it has no right to
    /// them any more.
    func takeBack(_ slot: Slot) {
        while slot.seenTail != slot.tail {
            let entry = slot.entries + Int(slot.seenTail) % slot.count * 16
            let id = Int(entry.load(fromByteOffset: 12, as: UInt16.self))
            let address = UInt(entry.load(as: UInt64.self))
            if address != UInt(bitPattern: slot.pool + id * slot.stride) {
                note("buffer \(id) was given back with another address")
            }
            if slot.isKernels[id] { note("buffer \(id) of \(slot.peer.port) was given back twice") }
            slot.isKernels[id] = true
            (slot.pool + id * slot.stride).initializeMemory(
                as: UInt8.self, repeating: 0xEE, count: slot.bufferLength)
            slot.seenTail &+= 1
        }
    }
}
