// First pass of the classifier: is the frame acceptable, and who sent it?
//
// State is kept for a run, the consecutive frames of one ingress port, so that the port's entry is
// read and its counters are written once a run. Within a run, `flowHead` and `flowTail` hold bytes
// 0..<8 and 6..<14 of the last fresh frame, as loaded. They overlap in bytes 6 and 7, which gives a
// pair that no frame can match for "none": 0 and all ones.

/// Admits `count` frames: leaves in `notes` a drop verdict, counted, or one of the two pending
/// notes.
@_noLocks
func admit(
    _ frames: UnsafePointer<Frame>, count: Int, notes: UnsafeMutablePointer<Verdict>,
    scene: ClassifierScene
) {
    var run = AdmissionRun(ingress: frames.pointee.ingress, start: 0, scene: scene)
    for index in 0..<count {
        let frame = frames[index]
        if frame.ingress.rawValue != run.ingress.rawValue {
            run.count(upTo: index, scene: scene)
            run = AdmissionRun(ingress: frame.ingress, start: index, scene: scene)
        }
        run.bytes &+= UInt64(UInt32(bitPattern: frame.length))
        if !run.offload.isNone, let refusal = run.inspect(frame, scene: scene) {
            notes[index] = refusal
            continue
        }
        // One comparison for both bounds: what is shorter than 14 wraps to a huge number.
        if UInt32(bitPattern: frame.length &- 14) < run.lengthBound {
            let head = frame.address.loadUnaligned(as: UInt64.self)
            let tail = frame.address.loadUnaligned(fromByteOffset: 6, as: UInt64.self)
            if head == run.flowHead && tail == run.flowTail {
                notes[index] = .pendingRepeat
                continue
            }
        }
        notes[index] = run.admit(frame, scene: scene)
    }
    run.count(upTo: count, scene: scene)
}

/// The state of one run.
struct AdmissionRun {
    let ingress: PortID
    let start: Int
    /// Bytes of the frames so far.
    var bytes: UInt64 = 0
    /// `frame.length - 14` of an acceptable untagged frame is below this; 0 accepts none.
    let lengthBound: UInt32
    /// The most bytes of a frame; negative if the port is not attached.
    let maxFrame: Int32
    /// The port's limit for a frame without a segment size.
    let plainLengthMax: Int32
    let offload: Offload
    var flowHead: UInt64 = 0
    var flowTail: UInt64 = .max
    /// The last key that was learned: its repetition teaches nothing.
    var learned = MACEntryKey.free

    @_noLocks
    init(ingress: PortID, start: Int, scene: ClassifierScene) {
        self.ingress = ingress
        self.start = start
        if let entry = scene.table.pointee.attachedEntry(of: ingress) {
            plainLengthMax = entry.pointee.maxFrame
            offload = entry.pointee.offload
            maxFrame = Int32(
                truncatingIfNeeded: offload.ingressLengthMax(maxFrame: Int(plainLengthMax)))
            lengthBound = UInt32(max(maxFrame &- 13, 0))
        } else {
            maxFrame = -1
            plainLengthMax = -1
            offload = .none
            lengthBound = 0
        }
    }

    /// Counts the frames of the run as received.
    @_noLocks
    func count(upTo end: Int, scene: ClassifierScene) {
        let block = scene.counters.block(port: ingress)
        block.add(.receivedFrames, UInt64(truncatingIfNeeded: end &- start))
        block.add(.receivedBytes, bytes)
    }

    /// Looks at what a frame of a port with offload asks for, and writes it into the virtio header
    /// before the frame where its peer wrote none.
    /// - Returns: a drop, counted, or nil. A frame of an impossible length is left to `admit`.
    @inline(never)
    @_noLocks
    func inspect(_ frame: Frame, scene: ClassifierScene) -> Verdict? {
        guard UInt32(bitPattern: frame.length &- 14) < lengthBound else { return nil }
        let bytes = UnsafeMutableRawPointer(mutating: frame.address)
        if !offload.hasHeader {
            inspectRaw(bytes, length: Int(frame.length))
            return nil
        }
        switch inspectVnet(bytes, length: Int(frame.length), maxFrame: Int(plainLengthMax)) {
        case .fine: return nil
        case .invalid: return drop(.invalidOffload, scene: scene)
        case .oversize: return drop(.oversize, scene: scene)
        }
    }

    /// Admits a frame that is not known to repeat the one before it.
    @inline(never)
    @_noLocks
    mutating func admit(_ frame: Frame, scene: ClassifierScene) -> Verdict {
        if maxFrame < 0 { return drop(.portRemoved, scene: scene) }
        guard let header = FrameHeader(frame.address, length: Int(frame.length)) else {
            return drop(.runt, scene: scene)
        }
        if frame.length > maxFrame { return drop(.oversize, scene: scene) }
        if header.source.isGroup || header.source.isZero {
            return drop(.invalidSource, scene: scene)
        }
        learn(header, scene: scene)
        if header.destination.isReserved { return drop(.reservedAddress, scene: scene) }
        if header.isTagged {
            // A repetition would have to compare the tag too.
            flowHead = 0
            flowTail = .max
        } else {
            flowHead = frame.address.loadUnaligned(as: UInt64.self)
            flowTail = frame.address.loadUnaligned(fromByteOffset: 6, as: UInt64.self)
        }
        return .pendingFresh
    }

    @inline(__always)
    @_noLocks
    private mutating func learn(_ header: FrameHeader, scene: ClassifierScene) {
        let key = MACEntryKey(header.source, vlan: header.vlan)
        if key.word == learned.word { return }
        learned = key
        let result = scene.macTable.learn(
            source: header.source, vlan: header.vlan, port: ingress, now: scene.tick)
        switch result {
        case .damped: scene.counters.block(port: ingress).add(.macMovesDamped)
        case .full: scene.counters.block(port: ingress).add(.macTableFull)
        case .unchanged, .learned, .moved, .refreshed, .ineligible, .busy: break
        }
    }

    @inline(never)
    @_noLocks
    private func drop(_ reason: DropReason, scene: ClassifierScene) -> Verdict {
        scene.counters.block(port: ingress).add(dropped: reason)
        return .drop(reason)
    }
}
