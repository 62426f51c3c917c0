// Second pass of the classifier: where does the frame go?
//
// The state is the decision for the last fresh frame: its verdict but for the length, and the
// length up to which that verdict needs no further thought, which is -1 for anything that must be
// counted.

/// Turns the pending notes in `verdicts` into verdicts.
@_noLocks
func decide(
    _ frames: UnsafePointer<Frame>, count: Int, verdicts: UnsafeMutablePointer<Verdict>,
    scene: ClassifierScene
) {
    var decision = Decision()
    for index in 0..<count {
        let note = verdicts[index]
        if note.word != Verdict.pendingRepeat.word {
            guard note.word == Verdict.pendingFresh.word else { continue }
            decision.look(frames[index], scene: scene)
        }
        verdicts[index] =
            frames[index].length <= decision.plainLengthMax
            ? decision.verdict : decision.settle(frames[index], scene: scene)
    }
}

/// The decision for one flow.
struct Decision {
    var verdict = Verdict.flood
    /// Frames of the flow up to this length get `verdict` as it is.
    var plainLengthMax: Int32 = -1
    /// The most bytes that the egress port of a unicast takes of this flow.
    private var egressLengthMax: Int32 = -1
    /// How often frames of this flow may be flooded, and what they are measured as.
    private var floodRate = FloodRate.unlimited
    private var floodKind = FloodMeters.Kind.group
    private var key = MACEntryKey.free
    private var ingress = PortID(rawValue: 0)

    init() {}

    /// Decides for the flow of a fresh frame.
    @inline(never)
    @_noLocks
    mutating func look(_ frame: Frame, scene: ClassifierScene) {
        let header = FrameHeader(unguarded: frame.address)
        let key = MACEntryKey(header.destination, vlan: header.vlan)
        // The same destination from the same port as before: as tagged as before, too, unless the
        // identifier is 0, which an untagged frame shares with a priority tag.
        if key.word == self.key.word && frame.ingress.rawValue == ingress.rawValue
            && header.vlan != 0
        {
            return
        }
        self.key = key
        ingress = frame.ingress
        plainLengthMax = -1
        verdict = destinationVerdict(header, scene: scene)
        guard case .unicast = verdict.kind else {
            floodKind = header.destination.isGroup ? .group : .unknown
            if let from = scene.table.pointee.attachedEntry(of: ingress) {
                floodRate = from.pointee.floodRate
            }
            return
        }
        egressLengthMax = lengthMax(to: verdict.egress, scene: scene)
        plainLengthMax = egressLengthMax
    }

    /// The verdict by destination alone.
    @inline(__always)
    @_noLocks
    private func destinationVerdict(_ header: FrameHeader, scene: ClassifierScene) -> Verdict {
        if !header.destination.isGroup,
            let egress = scene.macTable.lookup(
                destination: header.destination, vlan: header.vlan, now: scene.tick)
        {
            if egress.rawValue == ingress.rawValue { return .drop(.filtered) }
            if scene.table.pointee.attachedEntry(of: egress) != nil {
                return .unicast(to: egress)
            }
        }
        let copies = scene.table.pointee.floodList(from: ingress).count
        return copies > 0 ? .flood : .drop(.noEligiblePort)
    }

    /// The most bytes of a frame for `egress`. No bound if another worker owns the port and its
    /// counters, nor if the frame's peer leaves segmentation to others: the sender of the frame
    /// decides then.
    @inline(__always)
    @_noLocks
    private func lengthMax(to egress: PortID, scene: ClassifierScene) -> Int32 {
        guard let to = scene.table.pointee.attachedEntry(of: egress),
            let from = scene.table.pointee.attachedEntry(of: ingress),
            to.pointee.worker == from.pointee.worker, from.pointee.offload.isNone
        else { return .max }
        return to.pointee.maxFrame
    }

    /// The verdict for a frame of the flow, counted.
    @inline(never)
    @_noLocks
    func settle(_ frame: Frame, scene: ClassifierScene) -> Verdict {
        switch verdict.kind {
        case .unicast:
            if frame.length <= egressLengthMax { return verdict }
            let egress = verdict.egress
            scene.counters.block(port: egress).add(dropped: .tooBig)
            return .drop(.tooBig, egress: egress)
        case .flood:
            let block = scene.counters.block(port: ingress)
            guard
                scene.floodMeters.admit(
                    floodKind, length: frame.length, from: ingress, rate: floodRate,
                    now: scene.now)
            else {
                block.add(dropped: .stormLimited)
                return .drop(.stormLimited)
            }
            let copies = scene.table.pointee.floodList(from: ingress).count
            block.add(.floodCopies, UInt64(truncatingIfNeeded: copies &- 1))
            return verdict
        case .drop:
            if let reason = verdict.reason {
                scene.counters.block(port: ingress).add(dropped: reason)
            }
            return verdict
        }
    }
}
