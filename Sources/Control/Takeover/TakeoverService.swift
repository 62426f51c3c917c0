// The switch's side of a takeover (TakeoverMessages.swift).
//
//     idle --takeover--> offered --takeover_state--> resting --takeover_done--> left
//      ^------- connection ends -----'                  |
//      '--- successor gone, switch goes on -------------' connection ends, or time is up

internal import CShimsSystem
internal import Dataplane
internal import Foundation
internal import Glibc
internal import Logging
internal import SwitchCore

/// Hands a switch over to a successor.
@ControlActor
final class TakeoverService {
    private enum Stage {
        case idle
        case offered(HandoverConnectionID, ProcessHandle)
        case resting(HandoverConnectionID, ProcessHandle, kept: [KeptDescriptor])
        case left
    }

    private let host: Switch
    private let lock: Int32
    private let logger: Logger
    /// Called when the successor forwards; the process is to end then, and to leave everything as
    /// it is.
    var onDeparture: @ControlActor () -> Void = {}
    private var stage = Stage.idle
    private var successor: Int32 = 0
    private var limit: Timer?
    private var restingSince = ContinuousClock.now
    /// How long a successor may take from the state to its last word; the LAN rests meanwhile.
    private static let restingMillisecondsMax = 3000
    /// How long the end of a killed process is waited for.
    private static let killPatience = Duration.seconds(10)
    /// Descriptors that go with the state, beside its file and the lock.
    private static let firstBatch = HandoverProtocol.replyDescriptorsMax - 2

    /// - Parameter lock: the lock of the runtime directory, which passes to the successor.
    init(_ host: Switch, lock: Int32, logger: Logger) {
        self.host = host
        self.lock = lock
        self.logger = logger
    }

    /// Answers a request of a takeover; nil: it is none.
    func answer(_ request: HandoverRequest) async throws(ControlError) -> HandoverReply? {
        switch TakeoverOperation(rawValue: request.operation) {
        case nil: return nil
        case .offer: return try offer(request)
        case .state: return try await handOver(request)
        case .descriptors: return try nextDescriptors(request)
        case .done: return try finish(request)
        }
    }

    /// The client of a connection has gone.
    func connectionEnded(_ connection: HandoverConnectionID) {
        switch stage {
        case .offered(connection, _):
            stage = .idle
        case .resting(connection, let process, _):
            Task { await goOn(process, "the successor has gone") }
        default:
            break
        }
    }

    // MARK: Offering

    private func offer(_ request: HandoverRequest) throws(ControlError) -> HandoverReply {
        let asked = try request.decode(TakeoverRequest.self)
        guard asked.stateVersion == SwitchState.version else {
            throw ControlError(
                .conflict,
                "this switch (\(Version.current)) hands over version \(SwitchState.version) of its "
                    + "state, the successor (\(asked.program.terminalSafe)) reads version "
                    + "\(asked.stateVersion): it takes a restart")
        }
        switch stage {
        case .idle: break
        case .left: throw ControlError(.conflict, "the switch has been taken over already")
        default: throw ControlError(.conflict, "another takeover is under way")
        }
        guard !host.isClosing else { throw ControlError(.conflict, "the switch is ending") }
        // Its end would be that of the service, and the successor's none of the manager's business.
        guard !ServiceManager.startedThisProcess else {
            throw ControlError(
                .conflict,
                "it is the main process of a service: have that restarted instead (`systemctl "
                    + "restart`), and the next process takes over what the service manager keeps")
        }
        guard request.peer.uid == geteuid() else {
            throw ControlError(
                .conflict, "a successor has to be of the same user (\(geteuid())) as the switch")
        }
        let handle = request.peer.pid > 0 ? cshims_pidfd_open(request.peer.pid) : -ESRCH
        guard handle >= 0 else {
            throw ControlError(
                .conflict,
                "the successor is not a process that the switch can see; it has to run in the same "
                    + "PID namespace")
        }
        var reply = try HandoverReply(
            TakeoverOffer(name: host.configuration.name, pid: getpid()))
        let file = try Self.file(Array(host.configuration.essentials().utf8))
        // Until it has been copied.
        defer { withExtendedLifetime(file) {} }
        reply.descriptors = [try Self.copy(file.descriptor)]
        successor = request.peer.pid
        stage = .offered(request.connection, ProcessHandle(adopting: handle))
        logger.info("a successor asks to take over", metadata: ["pid": "\(successor)"])
        return reply
    }

    // MARK: Handing over

    private func handOver(_ request: HandoverRequest) async throws(ControlError) -> HandoverReply {
        guard case .offered(request.connection, let process) = stage else {
            throw ControlError(.conflict, "there is no takeover of this connection")
        }
        // Whoever leaves from here on is noticed, and the switch goes on.
        stage = .resting(request.connection, process, kept: [])
        restingSince = .now
        do throws(ControlError) {
            try await host.comeToRest()
        } catch {
            stage = .idle
            throw error
        }
        let (full, kept) = host.fullState()
        do {
            let file = try Self.file(full.encoded())
            // Until it has been copied.
            defer { withExtendedLifetime(file) {} }
            var reply = try HandoverReply(TakeoverState(descriptorCount: kept.count))
            reply.descriptors = [try Self.copy(file.descriptor), try Self.copy(lock)]
            for descriptor in kept.prefix(Self.firstBatch) {
                reply.descriptors.append(try Self.copy(descriptor.number))
            }
            guard case .resting = stage else {
                throw ControlError(.conflict, "the successor has gone")
            }
            stage = .resting(
                request.connection, process, kept: Array(kept.dropFirst(Self.firstBatch)))
            limit = Timer(afterMilliseconds: Self.restingMillisecondsMax) { [weak self] in
                guard let self, case .resting(_, let process, _) = stage else { return }
                Task { await self.goOn(process, "the successor takes too long") }
            }
            return reply
        } catch {
            host.goOn()
            stage = .idle
            throw error as? ControlError ?? ControlError(.internalError, "\(error)")
        }
    }

    private func nextDescriptors(
        _ request: HandoverRequest
    ) throws(ControlError) -> HandoverReply {
        guard case .resting(request.connection, let process, let kept) = stage, !kept.isEmpty else {
            throw ControlError(.conflict, "there are no more descriptors")
        }
        let batch = kept.prefix(HandoverProtocol.replyDescriptorsMax)
        var reply = try HandoverReply(TakeoverNothing())
        for descriptor in batch { reply.descriptors.append(try Self.copy(descriptor.number)) }
        stage = .resting(request.connection, process, kept: Array(kept.dropFirst(batch.count)))
        return reply
    }

    private static func file(_ bytes: [UInt8]) throws(ControlError) -> StateFile {
        do throws(SystemFailure) {
            let file = try StateFile()
            try file.write(bytes)
            return file
        } catch {
            throw ControlError(.conflict, "\(error)")
        }
    }

    /// A message closes its descriptors; the ports keep theirs.
    private static func copy(_ number: Int32) throws(ControlError) -> PassedDescriptor {
        let copy = fcntl(number, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else {
            throw ControlError(
                .conflict, "a descriptor cannot be passed on: \(SystemText.reason(errno))")
        }
        return PassedDescriptor(adopting: copy)
    }

    // MARK: Leaving, or not

    private func finish(_ request: HandoverRequest) throws(ControlError) -> HandoverReply {
        guard case .resting(request.connection, let process, _) = stage, !process.hasEnded else {
            throw ControlError(.conflict, "there is no takeover of this connection")
        }
        let reply = try HandoverReply(TakeoverNothing())
        limit?.cancel()
        stage = .left
        let milliseconds = (ContinuousClock.now - restingSince) / .milliseconds(1)
        logger.info(
            "taken over",
            metadata: [
                "successor": "\(successor)",
                "rested_ms": "\((milliseconds * 10).rounded() / 10)",
            ])
        onDeparture()
        return reply
    }

    /// Makes sure that nobody else forwards, and goes on.
    private func goOn(_ process: ProcessHandle, _ reason: String) async {
        guard case .resting = stage else { return }
        limit?.cancel()
        stage = .idle
        _ = cshims_pidfd_signal(process.descriptor, SIGKILL)
        // Never beside it: two readers of one socket tear every flow apart.
        let deadline = ContinuousClock.now + Self.killPatience
        var isPatient = true
        while !process.hasEnded {
            try? await Task.sleep(for: .milliseconds(1))
            guard isPatient, ContinuousClock.now > deadline else { continue }
            isPatient = false
            logger.error(
                "waiting for the end of the successor", metadata: ["successor": "\(successor)"])
        }
        host.goOn()
        logger.error(
            "not taken over, going on",
            metadata: ["successor": "\(successor)", "reason": "\(reason)"]
        )
    }
}

/// Answers what comes by `handover.sock`: takeovers, and what the switch does itself.
@ControlActor
final class SwitchHandover: HandoverService {
    private let takeover: TakeoverService
    private let other: any HandoverService

    init(takeover: TakeoverService, other: any HandoverService) {
        self.takeover = takeover
        self.other = other
    }

    func answer(_ request: HandoverRequest) async throws(ControlError) -> HandoverReply {
        if let reply = try await takeover.answer(request) { return reply }
        return try await other.answer(request)
    }

    func connectionEnded(_ connection: HandoverConnectionID) {
        takeover.connectionEnded(connection)
        other.connectionEnded(connection)
    }
}
