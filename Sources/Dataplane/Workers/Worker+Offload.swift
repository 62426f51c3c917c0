// Frames that are not as their egress port needs them.
//
// What a frame still needs stands in the virtio header before it (SwitchCore/Offload). What is done
// about it follows from the egress port:
//
//     vnet         the header goes with the frame, its segments made small enough
//     none, raw    the checksum is completed, in place, once for all ports that need it complete;
//                  a frame that the port cannot take whole leaves as segments
//
// Completing in place may meet sends that are staged but not executed. They refer to the same bytes
// and the same header, which change together and stay true together.

internal import CShimsSystem
internal import IORing
internal import SwitchCore

/// The last frame that was segmented: a flood needs its segments again for every port.
struct LastSegmentation {
    var frame: UnsafeRawPointer?
    var segmentSize = 0
    /// Its records in the arena.
    var records = 0..<0
}

extension Worker where Backend: ~Copyable {
    /// Sends a frame that has something in its header, or is longer than the port takes.
    @inline(never)
    mutating func sendOffloaded(
        _ frame: UnsafeMutableRawPointer, _ length: Int,
        to connection: UnsafeMutablePointer<Connection>, from origin: Origin
    ) {
        let mtu = connection.pointee.mtu
        let lengthMax = connection.pointee.frameLengthMax
        if connection.pointee.offload.hasHeader {
            guard fitForVnet(frame, length: length, mtu: mtu, maxFrame: lengthMax) else {
                return connection.pointee.counters.add(dropped: .tooBig, 1)
            }
            return transmit(frame, length, to: connection, from: origin)
        }
        let header = VirtioNetHeader.load(before: frame)
        let mayStayWhole = length <= lengthMax && header.gsoType != VirtioNetHeader.gsoUDPL4
        let mayBeCut = header.mayBeCut || header.gsoType != VirtioNetHeader.gsoNone
        if mayBeCut, !mayStayWhole || length &- FrameHeader.lengthMin > mtu,
            let segmentation = Segmentation(frame, length: length, mtu: mtu, maxFrame: lengthMax)
        {
            return sendSegments(segmentation, of: frame, to: connection, from: origin)
        }
        guard mayStayWhole else {
            return connection.pointee.counters.add(dropped: .tooBig, 1)
        }
        if header.needsChecksum {
            completeChecksum(frame, length: length)
            connection.pointee.counters.add(.checksumsCompleted, 1)
        }
        transmit(frame, length, to: connection, from: origin)
    }

    private mutating func sendSegments(
        _ segmentation: Segmentation, of frame: UnsafeRawPointer,
        to connection: UnsafeMutablePointer<Connection>, from origin: Origin
    ) {
        if lastSegmentation.frame != frame
            || lastSegmentation.segmentSize != segmentation.segmentSize
        {
            if segments.count + segmentation.count > segments.capacity { finishSends() }
            let first = segments.append(segmentation, frame: frame)
            lastSegmentation = LastSegmentation(
                frame: frame, segmentSize: segmentation.segmentSize,
                records: first..<(first &+ segmentation.count))
        }
        let counters = connection.pointee.counters
        let count = UInt64(truncatingIfNeeded: segmentation.count)
        counters.add(.segmentCopies, count &- 1)
        counters.add(.checksumsCompleted, count)
        for index in lastSegmentation.records {
            transmitSegment(index, to: connection, from: origin)
        }
    }

    private mutating func transmitSegment(
        _ index: Int, to connection: UnsafeMutablePointer<Connection>, from origin: Origin
    ) {
        let gather = segments.gather(at: index)
        // An earlier segment may have found that nobody is there any more.
        guard connection.pointee.state == .active else {
            return connection.pointee.counters.add(dropped: .noPeer, 1)
        }
        guard hasDirectSlot(connection, length: gather.length) else {
            return sendCarefully(gather, to: connection, from: origin)
        }
        let isDevice = connection.pointee.transport == .tap
        stage(
            isDevice ? segments.vectors(at: index) : segments.message(at: index),
            length: gather.length, isDevice ? .writeVector : .sendMessage, to: connection,
            from: origin)
    }

    /// Executes everything that refers to frames and segments of this turn, so that their memory
    /// can be given back.
    /// - Parameter takingArrivals: also take what has arrived meanwhile, for the next turn.
    mutating func finishSends(takingArrivals: Bool = false) {
        flush(takingArrivals: takingArrivals)
        sendWaitingFrames()
        segments.reset()
        lastSegmentation.frame = nil
    }
}
