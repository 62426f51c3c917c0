// A running switch: the data plane, its ports, and the configuration they came from.

public import Dataplane
internal import Dispatch
internal import Glibc
public import Logging
internal import SwitchCore

/// The control plane of one switch. See `SwitchDaemon` for the process around it.
@ControlActor
public final class Switch {
    var configuration: Configuration
    /// File to read again on reload; nil when the switch runs on the defaults.
    let configurationFile: String?
    let dataPlane: DataPlane
    /// Open ports, in the order of the configuration.
    var ports: [any ManagedPort] = []
    /// The same ports by their index.
    var slots: [(any ManagedPort)?]
    /// Paths that several ports have.
    var sharedPaths: [String: SharedUnixgramPath] = [:]
    /// Ports that last as long as the peer whose descriptor they were made for.
    var transientPorts: Set<String> = []
    /// Descriptors of ports that are being closed to be opened again with other settings.
    var heirlooms: [String: PassedDescriptor] = [:]
    /// Counters that a port's index had collected before the port was made.
    var baselines: [PortID: CounterSnapshot] = [:]
    /// Closed while a reload is under way.
    var reloadEnd: Gate?
    let startedAt: UInt64
    let logger: Logger
    private(set) var isClosing = false
    /// Events that came while the data plane was at rest, for afterwards; nil: it is not.
    var heldEvents: [DataPlaneEvent]?
    /// What the workers of a predecessor had counted about themselves.
    var workerBase: [SwitchState.CounterState] = []
    /// Keeps what a successor would need at the service manager.
    var keeper: StateKeeper?
    private let closed = Gate()
    private var eventSource: ReadSource?
    private var housekeeping: Timer?
    private var isDrainScheduled = false
    private var sweepSlice = 0
    /// Who follows what happens here.
    let events = EventHub()
    /// Sockets on which clients connect.
    let streamListeners = StreamListeners()
    var macWatch: MACWatch?
    var congestionWatch: CongestionWatch?
    /// Who started the switch and wants to know how it is.
    var service: ServiceManager?
    var watchdog: Timer?
    var pulse: WorkerPulse?
    private static let sweepSlices = 16
    /// Rare enough that an idle switch wakes up less than twice a second: each time costs four
    /// wake-ups of the dispatcher's threads.
    private static let tendMilliseconds = 2200
    /// Pause between two tries to get what a predecessor has not let go of yet.
    private static let retryPause = Duration.milliseconds(50)

    /// Starts the workers. Ports come with `open`.
    public init(
        _ configuration: Configuration, configurationFile: String?, counterFile: Int32? = nil,
        logger: Logger
    ) throws(DataPlaneError) {
        self.configuration = configuration
        self.configurationFile = configurationFile
        self.logger = logger
        slots = Array(repeating: nil, count: Configuration.portLimit)
        startedAt = DispatchTime.now().uptimeNanoseconds
        dataPlane = try DataPlane(
            DataPlaneSettings(
                workers: configuration.workers, processors: configuration.cpus,
                portCapacity: Configuration.portLimit, macLimit: configuration.macLimit,
                macAgeingSeconds: UInt32(configuration.macAgeing),
                busyPollNanoseconds: UInt64(configuration.busyPollNanoseconds),
                counterFile: counterFile),
            seed: UInt64.random(in: .min ... .max))
    }

    /// Opens every configured port; all or nothing.
    ///
    /// - Parameter patience: how long to wait for paths and devices that are in use. The kernel
    ///   takes its time to end the rings of a switch that was killed, and they hold its sockets and
    ///   devices.
    public func open(patience: Duration = .zero) async throws(SwitchError) {
        begin()
        let deadline = ContinuousClock.now + patience
        for configuration in configuration.ports {
            do throws(PortError) {
                try await open(configuration, until: deadline)
            } catch {
                await close()
                throw SwitchError("port \(configuration.name): \(error)")
            }
        }
    }

    /// Begins to listen to the workers and to keep house.
    func begin() {
        eventSource = ReadSource(descriptor: dataPlane.eventDescriptor) { [weak self] in
            self?.drainEvents()
        }
        housekeeping = Timer(everyMilliseconds: Self.tendMilliseconds) { [weak self] in
            self?.keepHouse()
        }
    }

    private func open(
        _ configuration: PortConfiguration, until deadline: ContinuousClock.Instant
    ) async throws(PortError) {
        while true {
            do throws(PortError) {
                return try open(configuration)
            } catch {
                guard error.mayPass, ContinuousClock.now < deadline else { throw error }
                try? await Task.sleep(for: Self.retryPause)
            }
        }
    }

    /// Closes every port and ends the workers. Sockets and devices are gone when it returns.
    public func close() async {
        guard !isClosing else {
            await closed.wait()
            return
        }
        isClosing = true
        await reloadEnd?.wait()
        await close(ports)
        forgetHeirlooms()
        housekeeping?.cancel()
        watchdog?.cancel()
        await eventSource?.end()
        await waitForGracePeriods()
        dataPlane.stop()
        closed.open()
    }

    /// Opens a port under the lowest free index.
    func open(_ configuration: PortConfiguration) throws(PortError) {
        let port = make(configuration)
        defer { sharedPaths = sharedPaths.filter { !$0.value.isUnused } }
        try port.open()
        add(port)
    }

    func add(_ port: any ManagedPort) {
        slots[port.id.index] = port
        ports.append(port)
        stateChanged()
    }

    /// Makes a port with the lowest free index, without opening it.
    func make(_ configuration: PortConfiguration) -> any ManagedPort {
        guard let index = slots.firstIndex(where: { $0 == nil }) else {
            preconditionFailure("more than \(slots.count) ports")
        }
        let id = PortID(index: index)
        baselines[id] = dataPlane.counters.snapshot(port: id)
        switch configuration.kind {
        case .unixgram(let unixgram) where unixgram.isShared:
            let place =
                sharedPaths[unixgram.path]
                ?? SharedUnixgramPath(path: unixgram.path, access: unixgram.access)
            sharedPaths[unixgram.path] = place
            return SharedUnixgramPort(id, configuration, unixgram, at: place, host: self)
        case .unixgram(let unixgram):
            return unixgram.connect.map {
                UnixgramUplink(id, configuration, unixgram, connectingTo: $0, host: self)
            } ?? UnixgramPort(id, configuration, unixgram, host: self)
        case .stream(let stream):
            return StreamPort(id, configuration, stream, host: self)
        case .tap(let tap):
            return TapPort(id, configuration, tap, host: self)
        case .passed(let passed):
            return DescriptorPort(id, configuration, passed, host: self)
        }
    }

    /// How many ports may be opened beside those that there are.
    var freeSlotCount: Int { slots.count - ports.count }

    /// Closes ports, all at once, and forgets them.
    func close(_ leaving: [any ManagedPort]) async {
        await withDiscardingTaskGroup { group in
            for port in leaving { group.addTask { await port.close() } }
        }
        sharedPaths = sharedPaths.filter { !$0.value.isUnused }
        let gone = Set(leaving.map(\.id))
        keepHeirlooms(of: leaving)
        // Until here their events still had to reach them.
        for id in gone { slots[id.index] = nil }
        ports.removeAll { gone.contains($0.id) }
        stateChanged()
    }

    func drainEvents() {
        let isWaiting = dataPlane.drainEvents { event in
            if heldEvents == nil {
                slots[event.port.index]?.handle(event)
            } else {
                heldEvents?.append(event)
            }
        }
        guard isWaiting, !isDrainScheduled else { return }
        // A grace period lasts a turn of every worker; look again shortly.
        isDrainScheduled = true
        ControlActor.queue.asyncAfter(deadline: .now() + .microseconds(200)) { [weak self] in
            ControlActor.assumeIsolated { self?.drainScheduled() }
        }
    }

    private func drainScheduled() {
        isDrainScheduled = false
        // The workers' memory goes with the switch.
        if !closed.isOpen { drainEvents() }
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

    /// Tends the ports and looks for what is to be told. Removes aged MAC entries, a slice each
    /// time, so that the counts of ports stay true.
    private func keepHouse() {
        guard heldEvents == nil else { return }
        for port in ports { port.tend() }
        lookForEvents()
        dataPlane.macTable.sweep(slice: sweepSlice, of: Self.sweepSlices, now: tick)
        sweepSlice = (sweepSlice + 1) % Self.sweepSlices
    }
}

extension Switch: PortHost {
    func attach(_ settings: ConnectionSettings) throws(PortError) -> UInt32 {
        // Nothing comes to the data plane while it rests: its queues are being read.
        guard heldEvents == nil else { throw .refused("the switch is being taken over") }
        do throws(DataPlaneError) {
            return try dataPlane.attach(settings)
        } catch {
            throw .refused(error.description)
        }
    }

    func change(_ port: PortID, to settings: LiveSettings) {
        dataPlane.change(port: port, to: settings)
    }

    func detach(_ port: PortID) { dataPlane.detach(port: port) }

    func count(_ port: PortID, _ counter: Counter, _ amount: UInt64) {
        dataPlane.counters.controlBlock(port: port).add(counter, amount)
    }

    func count(_ port: PortID, dropped reason: DropReason, _ amount: UInt64) {
        dataPlane.counters.controlBlock(port: port).add(dropped: reason, amount)
    }

    func stateChanged() { keeper?.stateChanged() }

    var isAtRest: Bool { heldEvents != nil }

    func tell(_ event: SwitchEvent) { events.publish(event) }

    func log(_ level: PortLogLevel, _ message: String, port: String) {
        switch level {
        case .info: logger.info("\(message)", metadata: ["port": "\(port)"])
        case .warning: logger.warning("\(message)", metadata: ["port": "\(port)"])
        case .error: logger.error("\(message)", metadata: ["port": "\(port)"])
        }
    }
}
