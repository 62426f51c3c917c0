// A running switch: the data plane, its ports, and the configuration they came from.

public import Dataplane
internal import Dispatch
internal import Glibc
internal import SwitchCore
public import Logging

/// The control plane of one switch. See `SwitchDaemon` for the process around it.
@ControlActor
public final class Switch {
    var configuration: Configuration
    /// File to read again on reload; nil when the switch runs on the defaults.
    let configurationFile: String?
    let dataPlane: DataPlane
    var ports: [any ManagedPort] = []
    /// Counters that a port's index had collected before the port was made.
    var baselines: [PortID: CounterSnapshot] = [:]
    var isReloading = false
    let startedAt: UInt64
    let logger: Logger
    private var eventSource: ReadSource?
    private var housekeeping: Timer?
    private var isDrainScheduled = false
    private var sweepSlice = 0
    private static let sweepSlices = 16

    /// Starts the workers. Ports come with `open`.
    public init(
        _ configuration: Configuration, configurationFile: String?, logger: Logger
    ) throws(DataPlaneError) {
        self.configuration = configuration
        self.configurationFile = configurationFile
        self.logger = logger
        startedAt = DispatchTime.now().uptimeNanoseconds
        dataPlane = try DataPlane(
            DataPlaneSettings(
                workers: configuration.workers, processors: configuration.cpus,
                portCapacity: Configuration.portLimit, macLimit: configuration.macLimit,
                macAgeingSeconds: UInt32(configuration.macAgeing)),
            seed: UInt64.random(in: .min ... .max))
    }

    /// Opens every configured port; all or nothing.
    public func open() async throws(PortError) {
        eventSource = ReadSource(descriptor: dataPlane.eventDescriptor) { [unowned self] in drainEvents() }
        housekeeping = Timer(everyMilliseconds: 1000) { [unowned self] in
            sweepMACTable()
        }
        for configuration in configuration.ports {
            let port = makePort(configuration)
            do throws(PortError) {
                try port.open()
            } catch {
                await close()
                throw error
            }
            ports.append(port)
        }
    }

    /// Closes every port and ends the workers. Sockets and devices are gone when it returns.
    public func close() async {
        for port in ports { await port.close() }
        ports.removeAll()
        housekeeping?.cancel()
        eventSource?.cancel()
        await waitForGracePeriods()
        dataPlane.stop()
    }

    /// Makes, but does not open, a port under the lowest free index.
    func makePort(_ configuration: PortConfiguration) -> any ManagedPort {
        var index = 0
        while ports.contains(where: { $0.id.index == index }) { index += 1 }
        let id = PortID(index: index)
        baselines[id] = dataPlane.counters.snapshot(port: id)
        switch configuration.kind {
        case .unixgram(let unixgram):
            return UnixgramPort(id, configuration, unixgram, host: self)
        case .tap(let tap): return TapPort(id, configuration, tap, host: self)
        }
    }

    private func drainEvents() {
        let isWaiting = dataPlane.drainEvents { event in
            ports.first { $0.id == event.port }?.handle(event)
        }
        guard isWaiting, !isDrainScheduled else { return }
        // A grace period lasts a turn of every worker; look again shortly.
        isDrainScheduled = true
        ControlActor.queue.asyncAfter(deadline: .now() + .microseconds(200)) { [weak self] in
            ControlActor.assumeIsolated {
                self?.isDrainScheduled = false
                self?.drainEvents()
            }
        }
    }

    private func waitForGracePeriods() async {
        while dataPlane.drainEvents({ _ in }) {
            await withCheckedContinuation { (resume: CheckedContinuation<Void, Never>) in
                ControlActor.queue.asyncAfter(deadline: .now() + .microseconds(200)) {
                    resume.resume()
                }
            }
        }
    }

    /// Removes aged entries, a slice a second, so that the counts of ports stay true.
    private func sweepMACTable() {
        dataPlane.macTable.sweep(slice: sweepSlice, of: Self.sweepSlices, now: tick)
        sweepSlice = (sweepSlice + 1) % Self.sweepSlices
    }
}

extension Switch: PortHost {
    func attach(_ settings: ConnectionSettings) throws(PortError) -> UInt32 {
        do throws(DataPlaneError) {
            return try dataPlane.attach(settings)
        } catch {
            throw .refused(error.description)
        }
    }

    func detach(_ port: PortID) { dataPlane.detach(port: port) }

    func count(_ port: PortID, _ counter: Counter, _ amount: UInt64) {
        dataPlane.counters.controlBlock(port: port).add(counter, amount)
    }

    func count(_ port: PortID, dropped reason: DropReason, _ amount: UInt64) {
        dataPlane.counters.controlBlock(port: port).add(dropped: reason, amount)
    }

    func log(_ level: PortLogLevel, _ message: String, port: String) {
        switch level {
        case .info: logger.info("\(message)", metadata: ["port": "\(port)"])
        case .warning: logger.warning("\(message)", metadata: ["port": "\(port)"])
        case .error: logger.error("\(message)", metadata: ["port": "\(port)"])
        }
    }
}
