// What the switch tells the service manager, and when: that it is ready, reloads, ends, and lives.
//
// It lives when its thread of control and every worker make progress. The first is shown by this
// code running at all, since it runs there. A worker that has nothing to do sleeps, which looks the
// same as one that hangs; so each is woken at one look, and has to have taken a turn at the next.

internal import Dataplane
internal import Logging
internal import SwitchCore

/// Whether every worker takes turns.
struct WorkerPulse {
    private var seen: [UInt64]

    /// Begins with the turns that each worker has taken.
    init(_ turns: [UInt64]) { seen = turns }

    /// Looks again; true if every worker has taken a turn since the last look.
    mutating func isBeating(_ turns: [UInt64]) -> Bool {
        defer { seen = turns }
        return zip(turns, seen).allSatisfy { $0 != $1 }
    }
}

extension Switch {
    /// Says that the switch is ready, and from now on that it lives.
    func begin(service: ServiceManager) {
        self.service = service
        service.notify(.ready, status: serviceStatus)
        guard let limit = service.watchdog else { return }
        pulse = WorkerPulse(turns)
        dataPlane.wakeWorkers()
        // Four looks in the time that the manager waits: one may come late.
        let milliseconds = Int(limit / .milliseconds(1)) / 4
        watchdog = Timer(everyMilliseconds: max(1, milliseconds)) { [weak self] in
            self?.showLife()
        }
    }

    private func showLife() {
        guard !isClosing, let isBeating = pulse?.isBeating(turns) else { return }
        if isBeating {
            service?.notify(.alive, status: serviceStatus)
        } else {
            logger.error(
                "a worker takes no turns: the service manager is not told that all is well")
        }
        dataPlane.wakeWorkers()
    }

    /// Turns that each worker has taken.
    private var turns: [UInt64] {
        (0..<configuration.workers).map { dataPlane.counters.workerBlock($0)[.turns] }
    }

    /// "3 of 4 ports up, 12 MACs", for `systemctl status`.
    var serviceStatus: String {
        let up = ports.count { report($0).state.isUp }
        return "\(up) of \(ports.count) ports up, \(dataPlane.macTable.total) MACs"
    }
}
