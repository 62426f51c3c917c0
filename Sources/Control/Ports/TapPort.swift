// A port on a TAP device: up as soon as it is opened, and made anew when someone deletes the
// device.

internal import Dataplane
internal import Foundation
internal import SwitchCore

/// A `tap` port.
@ControlActor
final class TapPort: ManagedPort {
    enum Stage { case closed, up, leaving, failed }

    let id: PortID
    private(set) var configuration: PortConfiguration
    private(set) var settings: PortConfiguration.TAP
    unowned let host: any PortHost
    var device: TapDevice?
    var stage = Stage.closed {
        didSet {
            since = Date()
            host.stateChanged()
        }
    }
    var since = Date()
    /// The device came from a predecessor, and does not forward yet.
    var isInherited = false
    private var lastError: String?
    private var isClosing = false
    private let retired = Gate()
    private let closed = Gate()

    init(
        _ id: PortID, _ configuration: PortConfiguration, _ settings: PortConfiguration.TAP,
        host: any PortHost
    ) {
        self.id = id
        self.configuration = configuration
        self.settings = settings
        self.host = host
    }

    func open() throws(PortError) {
        let device = try TapDevice.open(deviceSettings)
        do throws(PortError) {
            _ = try host.attach(connectionSettings(device))
        } catch {
            device.close()
            throw error
        }
        self.device = device
        stage = .up
    }

    /// What the device is to be like.
    var deviceSettings: TapDevice.Settings {
        TapDevice.Settings(
            name: settings.device, namespace: settings.netns, mtu: settings.mtu,
            txQueueLength: settings.txQueueLength,
            addresses: settings.addresses.map {
                TapAddress(bytes: $0.bytes, prefixLength: $0.prefixLength)
            }, persist: settings.persist, offload: configuration.offload)
    }

    /// What the data plane is to know of the device.
    func connectionSettings(_ device: TapDevice) -> ConnectionSettings {
        ConnectionSettings(
            port: id, transport: .tap, descriptor: device.descriptor,
            frameLengthMax: configuration.maxFrame, mtu: settings.mtu,
            offload: configuration.offload, queueBytes: configuration.queueBytes,
            queueDiscipline: configuration.queueDiscipline,
            queueDelayNanoseconds: UInt64(configuration.queueDelayNanoseconds))
    }

    func handle(_ event: DataPlaneEvent) {
        switch event.kind {
        case .activated:
            isInherited = false
            if lastError != nil {
                host.log(.info, "the device \(settings.device) is back", port: configuration.name)
                host.tell(.portRestored(configuration.name))
            }
            lastError = nil
        case .activationFailed:
            isInherited = false
            leave(ringRefusal(event.errno, of: "the device \(settings.device)"))
        case .peerGone:
            leave(failure: event.errno)
        case .retired:
            device?.close()
            device = nil
            stage = .failed
            if isClosing { retired.open() }
        }
    }

    private func leave(failure: Int32) {
        leave("the device \(settings.device) failed: \(SystemText.reason(failure))")
    }

    private func leave(_ message: String) {
        guard case .up = stage else { return }
        note(message)
        host.tell(.portFailed(configuration.name, reason: message))
        stage = .leaving
        host.detach(id)
    }

    /// Keeps an error for `status`, and logs it unless that was the last word.
    func note(_ message: String) {
        guard message != lastError else { return }
        lastError = message
        host.log(.error, message, port: configuration.name)
    }

    func tend() {
        if case .up = stage, let failure = device?.failure { leave(failure: failure) }
        guard case .failed = stage, !isClosing else { return }
        do throws(PortError) {
            try open()
        } catch {
            note(error.description)
        }
    }

    func adapt(to next: PortConfiguration) throws(PortError) {
        guard case .tap(let wanted) = next.kind else { preconditionFailure("another type") }
        if wanted.txQueueLength != settings.txQueueLength, case .up = stage {
            try device?.setTxQueueLength(wanted.txQueueLength)
        }
        if next.liveSettings() != configuration.liveSettings() {
            host.change(id, to: next.liveSettings())
        }
        (configuration, settings) = (next, wanted)
    }

    func close() async {
        guard !isClosing else {
            await closed.wait()
            return
        }
        isClosing = true
        if case .up = stage {
            stage = .leaving
            host.detach(id)
        }
        if case .leaving = stage { await retired.wait() }
        stage = .closed
        closed.open()
    }

    func describe(into status: inout PortStatus) {
        status.device = settings.device
        status.since = since
        status.lastError = lastError
        status.deviceQueueFull = try? device?.statistics().deviceQueueFull
        status.state = stage == .up ? .up : .failed
    }

    var warnings: [String] { [] }
}
