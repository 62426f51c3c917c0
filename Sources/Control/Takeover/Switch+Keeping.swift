// How a switch begins and ends that is replaced by another process.

internal import Dataplane
internal import Logging
internal import SwitchCore

extension Switch {
    /// Has the service manager keep what a successor needs, from now on.
    func keep(
        _ store: (manager: ServiceManager, counters: CounterFile), former: KeptEstate?,
        present: [String: FileIdentity], logger: Logger
    ) throws(SystemFailure) {
        let keeper = try StateKeeper(
            self, store.manager, counters: store.counters, former: former, logger: logger)
        self.keeper = keeper
        keeper.begin(present: present)
    }

    /// Comes to rest and leaves everything to the service manager, in place of `close`; false where
    /// it keeps nothing, or the switch does not come to rest.
    func leaveKept() async -> Bool {
        guard let keeper else { return false }
        do throws(ControlError) {
            try await comeToRest()
        } catch {
            logger.error("connections are not kept", metadata: ["reason": "\(error)"])
            return false
        }
        keeper.end()
        return true
    }

    /// Goes over from the ports of a predecessor to what the configuration says, as by a reload.
    func settle(into next: Configuration) async {
        while let end = reloadEnd { await end.wait() }
        do throws(ControlError) {
            try beginChange()
            defer { endChange() }
            var wanted = next
            wanted.ports += transientConfigurations(besides: next)
            let report = try await become(wanted)
            guard report.hasChanges else { return }
            logger.info(
                "configuration applied",
                metadata: ["changes": "\(report.lines.joined(separator: "; "))"])
        } catch {
            for message in error.messages {
                logger.error("running on with the configuration of before: \(message)")
            }
        }
    }

    /// Tells that another process goes on, and ends every stream.
    func announceDeparture() async {
        events.publish(.handedOver(name: configuration.name))
        events.finish()
        let deadline = ContinuousClock.now + .milliseconds(500)
        while events.hasReaders, ContinuousClock.now < deadline {
            try? await Task.sleep(for: .milliseconds(5))
        }
    }
}
