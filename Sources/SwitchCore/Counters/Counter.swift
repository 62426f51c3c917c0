/// The numbers that a port or worker keeps, beside its drop counts.
@frozen
public enum Counter: Int, CaseIterable, Sendable {
    /// Frames that came in by the port, also those that were dropped.
    case receivedFrames
    /// Bytes of those frames.
    case receivedBytes
    /// Frames that the kernel accepted from the port.
    case sentFrames
    /// Bytes of those frames.
    case sentBytes
    /// Copies beyond the first that floods of this ingress port made: N - 1 for a flood to N ports.
    case floodCopies
    /// Frames beyond the first that segmentation for this egress port made: N - 1 for a frame that
    /// left as N segments.
    case segmentCopies
    /// Checksums that were completed for this egress port.
    case checksumsCompleted
    /// Handshake datagrams of the peer; these are not frames.
    case handshakes
    /// Gauge: frames waiting in the egress queue.
    case queuedFrames
    /// Gauge: bytes waiting in the egress queue.
    case queuedBytes
    /// The most bytes that ever waited.
    case queueHighWaterBytes
    /// Gauge: bytes that may wait in the socket for the peer; 0 while the kernel's grant stands.
    case sendBufferBytes
    /// Frames that were marked in the egress queue, for their flow to slow down.
    case ecnMarks
    /// Times that the port was paused.
    case pauses
    /// Time for which it was, up to the end of the last pause, in nanoseconds.
    case pausedNanoseconds
    /// Gauge: 1 while the port is paused.
    case pausedPorts
    /// Connections that ended because the peer broke the rules of its transport.
    case peerFaults
    /// Frames whose source was not moved to this port because it had moved, or been seen elsewhere,
    /// in the same tick, or is pinned.
    case macMovesDamped
    /// Frames whose source could not be learned for want of room.
    case macTableFull
    /// Completions of an earlier generation, ignored.
    case staleCompletions
    /// Frames and copies of frames that the worker gave to other workers.
    case handedOver
    /// Frames and copies of frames that the worker took from other workers.
    case takenOver
    /// Times the worker was woken.
    case wakeups
    /// Turns the worker made.
    case turns

    /// The word of a `CounterBlock` that holds the counter.
    @inlinable
    var word: Int { @_noLocks get { rawValue } }

    /// The name in status and metrics: snake_case.
    public var name: String {
        switch self {
        case .receivedFrames: "received_frames"
        case .receivedBytes: "received_bytes"
        case .sentFrames: "sent_frames"
        case .sentBytes: "sent_bytes"
        case .floodCopies: "flood_copies"
        case .segmentCopies: "segment_copies"
        case .checksumsCompleted: "checksums_completed"
        case .handshakes: "handshakes"
        case .queuedFrames: "queued_frames"
        case .queuedBytes: "queued_bytes"
        case .queueHighWaterBytes: "queue_high_water_bytes"
        case .sendBufferBytes: "send_buffer_bytes"
        case .ecnMarks: "ecn_marks"
        case .pauses: "pauses"
        case .pausedNanoseconds: "paused_nanoseconds"
        case .pausedPorts: "paused_ports"
        case .peerFaults: "peer_faults"
        case .macMovesDamped: "mac_moves_damped"
        case .macTableFull: "mac_table_full"
        case .staleCompletions: "stale_completions"
        case .handedOver: "handed_over"
        case .takenOver: "taken_over"
        case .wakeups: "wakeups"
        case .turns: "turns"
        }
    }
}
