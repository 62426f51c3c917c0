// What a successor needs, kept at the service manager while the switch runs, for the case that it
// is killed or started again.
//
// In the store lie, each under the name "kept/NAME":
//
//   state      a file of memory with the document, written anew whenever a peer comes or goes;
//              whoever is killed while writing leaves the one before (StateFile.swift)
//   counters   the memory that the workers count in: exact up to the last frame
//   PORT/...   sockets, devices, handles on the processes of peers
//
// The store is told before the document is: a document never speaks of what is not there, but for
// the moment in between, and there what is missing is done without. Stations are not in it: peers
// teach them again with their next frames. When the switch is asked to end it comes to rest first,
// and then everything is.

internal import CShimsSystem
internal import Dataplane
internal import Dispatch
internal import Glibc
internal import Logging
internal import SwitchCore

/// Keeps a switch's state at the service manager.
@ControlActor
final class StateKeeper {
    /// How the names of everything here begin; others are not ours.
    nonisolated static let prefix = "kept/"
    nonisolated static let stateName = "state"

    private let manager: ServiceManager
    private let file: StateFile
    private let counters: CounterFile
    private let logger: Logger
    /// What the manager has, with those who keep the numbers from being used again.
    private var kept: [String: AnyObject] = [:]
    /// Names under which the manager has something else than what they mean now.
    private var stale: Set<String> = []
    private unowned let host: Switch
    private var isScheduled = false
    private var hasWarned = false
    private var retry: Timer?
    /// When the manager did not take everything for the first time.
    private var incompleteSince: ContinuousClock.Instant?
    private static let busyMilliseconds = 50
    private static let retryMilliseconds = 500
    /// How long the manager may be busy: systemd has room for some hundred messages.
    private static let patience = Duration.seconds(5)
    private var isEnding = false

    /// - Parameters:
    ///   - counters: the file that the data plane counts in.
    ///   - former: what a predecessor has left, which goes on in the same place.
    init(
        _ host: Switch, _ manager: ServiceManager, counters: CounterFile, former: KeptEstate?,
        logger: Logger
    ) throws(SystemFailure) {
        self.host = host
        self.manager = manager
        self.counters = counters
        self.logger = logger
        if let former {
            file = former.file
            kept[Self.stateName] = file
        } else {
            file = try StateFile()
        }
    }

    /// Gives everything into keeping.
    /// - Parameter present: what the manager has from a predecessor, which it keeps or forgets.
    func begin(present: [String: FileIdentity]) {
        // Sockets are known by their files and need not be given again. Of anything else nobody can
        // say whether it is still the same.
        for descriptor in host.describeState().kept {
            guard let identity = present[descriptor.name], identity.isSocket,
                FileIdentity(descriptor: descriptor.number) == identity
            else { continue }
            kept[descriptor.name] = descriptor.owner
        }
        stale = Set(present.keys).subtracting(kept.keys)
        write()
    }

    /// What the manager has passed, as far as it can be told again.
    nonisolated static func identities(
        of passed: [String: PassedDescriptor]
    ) -> [String: FileIdentity] {
        passed.compactMapValues { FileIdentity(descriptor: $0.number) }
    }

    /// Has the manager forget all of this, and tells what it still has.
    nonisolated static func forget(
        _ present: inout [String: FileIdentity], at manager: ServiceManager
    ) {
        for name in present.keys {
            let code = manager.forget(
                prefix + name, patienceMilliseconds: ServiceManager.patienceMilliseconds)
            guard code == 0 else { return }
            present[name] = nil
        }
    }

    /// The state has changed; it is written soon, once for all that happens at a time.
    func stateChanged() {
        guard !isScheduled, !isEnding else { return }
        isScheduled = true
        ControlActor.queue.async { [weak self] in
            ControlActor.assumeIsolated { self?.write() }
        }
    }

    private func write() {
        isScheduled = false
        // Of a switch at rest nothing is written that would be wrong as soon as it goes on.
        guard !isEnding, !host.isAtRest else { return }
        var (state, descriptors) = host.describeState()
        state.counterLayout = .current(
            portCapacity: Configuration.portLimit, workerCount: host.configuration.workers)
        state.counterFile = counters.name
        update(descriptors)
        save(FullState(state: state))
    }

    /// Writes everything down at rest, for a successor that is started when this process has ended.
    func end() {
        isEnding = true
        let (full, descriptors) = host.fullState()
        update(descriptors, patienceMilliseconds: ServiceManager.patienceMilliseconds)
        save(full)
    }

    private func save(_ full: FullState) {
        do {
            try file.write(full.encoded())
        } catch {
            warn("\(error)")
        }
    }

    /// Gives and takes back what differs; what the manager does not take now is tried again.
    private func update(_ descriptors: [KeptDescriptor], patienceMilliseconds: Int32 = 0) {
        let own = [(counters.name, counters.file), (Self.stateName, file)].map { name, file in
            KeptDescriptor(name: name, number: file.descriptor, owner: file)
        }
        let descriptors = own + descriptors
        var next: [String: AnyObject] = [:]
        for descriptor in descriptors { next[descriptor.name] = descriptor.owner }
        for (name, owner) in kept where next[name] !== owner {
            kept[name] = nil
            stale.insert(name)
        }
        let code = tell(descriptors, patienceMilliseconds)
        retry?.cancel()
        retry = nil
        guard code != 0 else {
            incompleteSince = nil
            return
        }
        let since = incompleteSince ?? .now
        incompleteSince = since
        if code != EAGAIN || ContinuousClock.now - since > Self.patience {
            warn("the service manager cannot be told: \(SystemText.reason(code))")
        }
        let pause = code == EAGAIN ? Self.busyMilliseconds : Self.retryMilliseconds
        retry = Timer(afterMilliseconds: pause) { [weak self] in
            self?.stateChanged()
        }
    }

    /// Tells the manager what it has not heard yet, up to the first message that it does not take.
    private func tell(_ descriptors: [KeptDescriptor], _ patienceMilliseconds: Int32) -> Int32 {
        // First, since one that is there under its former name would not be taken again.
        for name in stale {
            let code = manager.forget(
                Self.prefix + name, patienceMilliseconds: patienceMilliseconds)
            guard code == 0 else { return code }
            stale.remove(name)
        }
        for descriptor in descriptors where kept[descriptor.name] == nil {
            let code = manager.keep(
                descriptor.number, name: Self.prefix + descriptor.name,
                patienceMilliseconds: patienceMilliseconds)
            guard code == 0 else { return code }
            kept[descriptor.name] = descriptor.owner
        }
        return 0
    }

    private func warn(_ reason: String) {
        guard !hasWarned else { return }
        hasWarned = true
        logger.warning(
            "a restart may cost VMs their connections", metadata: ["reason": "\(reason)"])
    }
}

/// The memory that a data plane counts in, and its name at the service manager.
///
/// Each process has one of its own: what it has inherited is in it.
struct CounterFile: Sendable {
    let file: StateFile
    let name: String

    init() throws(SystemFailure) {
        file = try StateFile()
        name = "counters-\(cshims_clock_monotonic())"
    }
}

/// What a predecessor has left at the service manager.
struct KeptEstate: Sendable {
    var full: FullState
    var descriptors: StateDescriptors
    /// Where it was written, and where this process goes on writing.
    let file: StateFile

    /// Everything that the manager passed at the start, by name.
    static func passed() -> [String: PassedDescriptor] {
        InheritedDescriptors.take(prefix: StateKeeper.prefix)
    }

    /// Finds the state among them.
    /// - Throws: when there is none that is of use.
    init(_ passed: [String: PassedDescriptor]) throws(StateError) {
        var passed = passed
        guard let state = passed.removeValue(forKey: StateKeeper.stateName) else {
            throw StateError(description: "there is no state among what was kept")
        }
        file = StateFile(adopting: state.take())
        guard let bytes = file.read() else {
            throw StateError(description: "what was kept is no whole state")
        }
        full = try FullState(decoding: bytes)
        if full.state.counterLayout != nil {
            let counters = full.state.counterFile.flatMap { passed.removeValue(forKey: $0) }
            guard let counters else { throw StateError(description: "there are no counters") }
            try full.state.settleCounters(StateFile(adopting: counters.take()).words())
        }
        descriptors = StateDescriptors(numbers: passed)
    }
}

extension StateFile {
    /// The whole file as words.
    func words() -> [UInt64] {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return [] }
        let count = Int(status.st_size) / 8
        return [UInt64](unsafeUninitializedCapacity: count) { buffer, initialized in
            let read = pread(descriptor, buffer.baseAddress, 8 * count, 0)
            initialized = max(0, read) / 8
        }
    }
}
