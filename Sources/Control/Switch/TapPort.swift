// A port on a TAP device: up as soon as it is opened, and made anew when someone deletes the device.

internal import Dataplane
internal import Foundation
internal import Glibc
internal import SwitchCore

/// A `tap` port.
@ControlActor
final class TapPort: ManagedPort {
    private enum Stage { case closed, up, leaving, failed }

    let id: PortID
    let configuration: PortConfiguration
    private let settings: PortConfiguration.TAP
    private unowned let host: any PortHost
    private var device: TapDevice?
    private var stage = Stage.closed { didSet { since = Date() } }
    private var since = Date()
    private var lastError: String?
    private var retry: Timer?
    private var isClosing = false
    private var closing: CheckedContinuation<Void, Never>?

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
        let device = try TapDevice.open(
            TapDevice.Settings(
                name: settings.device, namespace: settings.netns, mtu: settings.mtu,
                txQueueLength: settings.txQueueLength,
                addresses: settings.addresses.map {
                    TapAddress(bytes: $0.bytes, prefixLength: $0.prefixLength)
                }, persist: settings.persist))
        do throws(PortError) {
            _ = try host.attach(
                ConnectionSettings(
                    port: id, transport: .tap, descriptor: device.descriptor,
                    frameLengthMax: configuration.maxFrame, queueBytes: configuration.queueBytes,
                    queueDelayNanoseconds: UInt64(configuration.queueDelayNanoseconds)))
        } catch {
            device.close()
            throw error
        }
        self.device = device
        stage = .up
    }

    func handle(_ event: DataPlaneEvent) {
        switch event.kind {
        case .activated: break
        case .activationFailed, .peerGone:
            guard case .up = stage else { return }
            lastError = "the device \(settings.device) failed: \(String(cString: strerror(event.errno)))"
            host.log(.error, lastError ?? "", port: configuration.name)
            stage = .leaving
            host.detach(id)
        case .retired:
            device?.close()
            device = nil
            if isClosing {
                stage = .closed
                closing?.resume()
                closing = nil
            } else {
                stage = .failed
                retry = Timer(everyMilliseconds: 1000) { [unowned self] in openAgain() }
            }
        }
    }

    private func openAgain() {
        do throws(PortError) {
            try open()
            retry?.cancel()
            retry = nil
            host.log(.info, "the device \(settings.device) is back", port: configuration.name)
        } catch {
            lastError = error.description
        }
    }

    func close() async {
        isClosing = true
        retry?.cancel()
        retry = nil
        if case .up = stage {
            stage = .leaving
            host.detach(id)
        }
        guard case .leaving = stage else {
            stage = .closed
            return
        }
        await withCheckedContinuation { closing = $0 }
    }

    func describe(into status: inout PortStatus) {
        status.device = settings.device
        status.since = since
        status.lastError = lastError
        status.state = stage == .up ? .up : .failed
    }

    var warnings: [String] { [] }
}
