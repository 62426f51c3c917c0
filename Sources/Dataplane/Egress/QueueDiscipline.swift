/// In which order frames leave that wait for a port, and how long they may.
public enum QueueDiscipline: Sendable, Equatable {
    /// In the order in which they came; when there is no room, the one that comes is dropped.
    case fifo
    /// Flows in turns, each held to a delay of `target` nanoseconds by marks and drops; when there
    /// is no room, the longest flow loses its oldest frames.
    ///
    /// Source: RFC 8290.
    case fair(target: UInt64)
}
