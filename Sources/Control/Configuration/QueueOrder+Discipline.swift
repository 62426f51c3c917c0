// What the order of a queue is called in the data plane.

internal import Dataplane

extension PortConfiguration {
    /// What the data plane is told about the order of the egress queue.
    var queueDiscipline: QueueDiscipline {
        switch queue {
        case .fifo: .fifo
        case .fair: .fair(target: UInt64(queueTargetNanoseconds))
        }
    }
}
