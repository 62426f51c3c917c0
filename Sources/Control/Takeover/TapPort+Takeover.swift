// A TAP port that goes from one switch to its successor: the device is its descriptor, and the
// netlink socket belongs to the device's namespace, so both go along.

internal import CShimsSystem
internal import Dataplane
internal import Glibc
internal import SwitchCore

extension TapPort {
    func suspend() {}
    func resume() {}

    var isInTransit: Bool { stage == .leaving || isInherited }

    func describe(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]) {
        guard stage == .up, let device else { return }
        state.stage = .attached
        state.since = since
        state.device = SwitchState.DeviceState(
            index: device.index, removesDevice: device.removesDevice,
            transmitDropped: device.baseline.tx_dropped,
            receiveDropped: device.baseline.rx_dropped)
        for (part, number) in [
            (StateDescriptors.Part.device, device.descriptor), (.netlink, device.netlink),
        ] {
            kept.append(
                KeptDescriptor(
                    name: StateDescriptors.name(part, of: configuration.name), number: number,
                    owner: device))
        }
    }

    var isServing: Bool { stage == .up }

    func restore(_ estate: PortEstate, _ descriptors: inout StateDescriptors) {
        let (name, state) = (configuration.name, estate.state)
        guard state.stage == .attached, let known = state.device,
            let tun = descriptors.take(.device, of: name),
            let netlink = descriptors.take(.netlink, of: name)
        else {
            host.count(id, dropped: .portRemoved, UInt64(estate.waiting.count))
            stage = .failed
            return
        }
        let device = TapDevice(
            deviceSettings, network: cshims_network(tun: tun, netlink: netlink, step: 0),
            link: known.link, removesDevice: known.removesDevice)
        var connection = connectionSettings(device)
        connection.waitingFrames = estate.waiting
        do throws(PortError) {
            _ = try host.attach(connection)
            self.device = device
            isInherited = true
            stage = .up
            since = state.since
        } catch {
            device.close()
            host.count(id, dropped: .portRemoved, UInt64(estate.waiting.count))
            stage = .failed
            note(error.description)
        }
    }
}

extension SwitchState.DeviceState {
    /// The device as it was when it was opened.
    fileprivate var link: cshims_link {
        var link = cshims_link()
        link.index = index
        link.tx_dropped = transmitDropped
        link.rx_dropped = receiveDropped
        return link
    }
}
