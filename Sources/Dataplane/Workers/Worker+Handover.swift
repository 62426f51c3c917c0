// Frames that cross from one worker to another.
//
// A unicast crosses with its egress port, a flood once for each other worker, which replicates it
// to its own ports. The record of a flood says how many copies it stands for, as counted by the
// worker that received the frame; where the other worker's table differs meanwhile, what is missing
// is a drop, so that the books stay exact.

internal import IORing
internal import SwitchCore
internal import Synchronization

extension Worker where Backend: ~Copyable {
    /// Hands a unicast frame to the owner of its egress port.
    mutating func handOver(
        _ frame: Frame, to egress: PortID, _ table: UnsafePointer<ConnectionTable>
    ) {
        guard let entry = table.pointee.entry(of: egress), Int(entry.pointee.worker) != index else {
            // Ours, but not activated, or already leaving.
            counters.block(port: egress).add(dropped: .noPeer, 1)
            return
        }
        let worker = Int(entry.pointee.worker)
        append(
            HandoverRecord(
                length: UInt32(frame.length), ingress: frame.ingress,
                egress: UInt16(egress.index), generationOrCopies: entry.pointee.generation,
                isCounted: links.backlog.isPausing(frame.ingress)),
            frame.address, to: worker, copies: 1)
    }

    mutating func append(
        _ record: HandoverRecord, _ frame: UnsafeRawPointer, to worker: Int, copies: UInt64
    ) {
        guard let ring = links.ring(to: worker), ring.append(record, frame: frame)
        else {
            block.add(dropped: .handoverFull, copies)
            return
        }
        block.add(.handedOver, copies)
        if record.isCounted {
            links.backlog.crossing(of: record.ingress, at: index).add()
            holdBack(record.ingress)
        }
        handedTo |= 1 << UInt64(worker)
    }

    /// Shows the other workers what this turn handed over, and wakes those that sleep.
    mutating func announceHandovers() {
        for worker in 0..<links.workerCount where handedTo & (1 << UInt64(worker)) != 0 {
            links.ring(to: worker)?.publish()
        }
        // Pairs with the fence between the flag and the look into the rings in `wait`: either that
        // look sees the records or this one sees the flag.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        for worker in 0..<links.workerCount where handedTo & (1 << UInt64(worker)) != 0 {
            links.wakeIfSleeping(worker)
        }
        handedTo = 0
    }

    /// Sends what other workers handed over, straight from their rings.
    mutating func takeHandovers(_ table: UnsafePointer<ConnectionTable>) {
        for worker in 0..<links.workerCount {
            guard let ring = links.ring(from: worker), !ring.isEmpty else { continue }
            var records = 0
            var copies: UInt64 = 0
            var isAnyCounted = false
            while records < Self.handoverBatchMax, let (record, frame) = ring.next() {
                records += 1
                isAnyCounted = isAnyCounted || record.isCounted
                copies += take(record, frame, table)
            }
            // Staged sends and waiting frames lie in the ring: they must have finished before the
            // bytes go back.
            finishSends()
            if isAnyCounted { countDown(records, of: ring) }
            ring.release()
            block.add(.takenOver, copies)
        }
    }

    /// Counts down the frames of the first `records` records that are not released. Only now that
    /// they were sent, or count as waiting in a queue: to their source they are never out of sight.
    private func countDown(_ records: Int, of ring: HandoverRing) {
        ring.rewind()
        for _ in 0..<records {
            guard let (record, _) = ring.next() else { return }
            if record.isCounted { links.backlog.crossing(of: record.ingress, at: index).subtract() }
        }
    }

    private static var handoverBatchMax: Int { 1024 }

    /// Sends what a record stands for and returns how many copies that was.
    private mutating func take(
        _ record: HandoverRecord, _ frame: UnsafeMutableRawPointer,
        _ table: UnsafePointer<ConnectionTable>
    ) -> UInt64 {
        guard record.egress == HandoverRecord.flood else {
            if let connection = connections[Int(record.egress)],
                connection.pointee.generation == record.generationOrCopies
            {
                send(
                    frame, Int(record.length), to: connection,
                    from: Origin(ingress: record.ingress, isFlooded: false))
            } else {
                block.add(dropped: .portRemoved)
            }
            return 1
        }
        let copies = UInt64(record.generationOrCopies)
        var left = copies
        for egress in table.pointee.floodList(from: record.ingress) where left > 0 {
            guard let connection = connections[egress.index] else { continue }
            left -= 1
            send(
                frame, Int(record.length), to: connection,
                from: Origin(ingress: record.ingress, isFlooded: true))
        }
        if left > 0 { block.add(dropped: .portRemoved, left) }
        return copies
    }
}
