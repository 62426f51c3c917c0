// What the data plane is told of the words of a port.

internal import Dataplane

extension PortConfiguration {
    /// The order of the egress queue.
    var queueDiscipline: QueueDiscipline {
        switch queue {
        case .fifo: .fifo
        case .fair: .fair(target: UInt64(queueTargetNanoseconds))
        }
    }

    /// Whether the peer waits while its frames do.
    var pausesOnCongestion: Bool {
        switch kind {
        case .unixgram(let socket): socket.onCongestion == .pause
        case .tap: false
        }
    }
}
