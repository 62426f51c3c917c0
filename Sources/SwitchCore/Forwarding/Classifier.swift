// Theory of operation
//
// Classification turns a batch of received frames into verdicts. It is pure: frames are only read,
// nothing is sent, and the only memory written is the verdicts, the MAC table and the counters of
// ingress ports.
//
// Batch semantics: the whole batch is admitted and learned first, then every frame is decided
// against the end state. So the order of frames of different ports within a batch does not matter,
// and a reply that arrives in the same batch as the first frame of its station already finds it.
//
//     pass 1 (Admission.swift)   port attached? long enough? not too long? source valid? learn.
//                                destination reserved? -> a drop, or a note for pass 2
//     pass 2 (Decision.swift)    group or unknown -> flood, known -> unicast or a drop
//
// Frames come in trains: the same station sends to the same station, dozens in a batch. A frame
// whose first 14 bytes equal those of the frame before it, by the same port, needs no parsing, no
// learning and no lookup. Pass 1 finds that out with two 8-byte loads and two compares and leaves
// the note `pendingRepeat`; pass 2 then copies the last verdict if the length fits.
//
// Accounting: each frame counts once as received at its ingress port. Each frame with a drop
// verdict counts once as dropped, at its ingress port, but `tooBig` at its egress port. Each flood
// verdict counts its list's length - 1 as flood copies at the ingress port. Sending, and what is
// then dropped, is counted by the caller. Counter blocks have one writer, the worker that owns the
// port, so a frame for a port of another worker is not tested against that port's limit here: the
// owner does, as for each copy of a flood.

/// Decides what happens to each frame of a batch.
///
/// Rules, the first that applies: ingress port not attached: `portRemoved`. Shorter than its
/// header: `runt`. Longer than the ingress port's maximum: `oversize`. A virtio header that does
/// not fit the frame: `invalidOffload`. Group or zero source: `invalidSource`. Here the source is
/// learned. Destination reserved: `reservedAddress`. Destination a group, unknown, or behind a port
/// that is not attached: flood, or `noEligiblePort` if the list is empty. Behind the ingress port:
/// `filtered`. To be flooded, and more often than the ingress port's rate allows: `stormLimited`.
/// Longer than the egress port's maximum, if both ports belong to one worker and the
/// frame came whole: `tooBig`. Else unicast.
///
/// Thread safety: the caller is the one thread that writes the blocks of the batch's ingress ports,
/// and is online in the grace period that protects `table`.
/// - Parameters:
///   - frames: the batch; best in the order of arrival, which brings frames of a port together.
///   - verdicts: receives one verdict a frame, in the same order.
///   - table: the snapshot that serves the turn.
///   - floodMeters: count what is flooded.
///   - now: nanoseconds of the monotonic clock, read once a turn; the MAC table counts in seconds.
///   - counters: receives what is counted, as said above.
/// - Precondition: `verdicts.count` >= `frames.count`; each ingress index < the capacity of
///   `counters`, `macTable` and `floodMeters`.
@_noLocks
public func classify(
    frames: UnsafeBufferPointer<Frame>, into verdicts: UnsafeMutableBufferPointer<Verdict>,
    table: UnsafePointer<ConnectionTable>, macTable: MACTable, floodMeters: FloodMeters,
    now: UInt64, counters: CounterTable
) {
    let frameCount = frames.count
    let verdictCount = verdicts.count
    precondition(verdictCount >= frameCount)
    guard frameCount > 0, let first = frames.baseAddress, let out = verdicts.baseAddress else {
        return
    }
    let scene = ClassifierScene(
        table: table, macTable: macTable, floodMeters: floodMeters, now: now,
        tick: UInt32(truncatingIfNeeded: now / 1_000_000_000), counters: counters)
    admit(first, count: frameCount, notes: out, scene: scene)
    decide(first, count: frameCount, verdicts: out, scene: scene)
}

/// What both passes look at; constant for a batch.
struct ClassifierScene {
    let table: UnsafePointer<ConnectionTable>
    let macTable: MACTable
    let floodMeters: FloodMeters
    /// Nanoseconds.
    let now: UInt64
    /// The same in seconds, the MAC table's unit of age.
    let tick: UInt32
    let counters: CounterTable
}
