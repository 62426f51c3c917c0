// What becomes of a port whose sort cannot be handed over: it is opened anew at the successor, as
// soon as the predecessor has gone and let go of what it needs. Its peers have to come back.

internal import Dataplane
internal import SwitchCore

/// A port of which a successor takes over the counters alone.
protocol PortOpenedAnew: PeerPort {}

extension PortOpenedAnew {
    func suspend() {}
    func resume() {}
    var isInTransit: Bool { false }
    func describe(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]) {}

    func restore(
        _ state: SwitchState.PortState, _ descriptors: inout StateDescriptors,
        waiting: [WaitingFrame]
    ) {
        Task { await openPatiently() }
    }

    private func openPatiently() async {
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            do throws(PortError) {
                return try open()
            } catch {
                guard error.mayPass, ContinuousClock.now < deadline else {
                    return life.note(error.description, .error)
                }
                try? await Task.sleep(for: .milliseconds(50))
            }
        }
    }
}
