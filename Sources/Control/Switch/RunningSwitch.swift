// From a configuration to a switch that runs with all that belongs to it, in one of three ways:
// from nothing, from what a predecessor has left at the service manager, or from one that still
// runs.

internal import Dataplane
internal import Glibc
internal import Logging

extension SwitchDaemon {
    /// What a switch is to be started with.
    struct Start {
        let configuration: Configuration
        let file: String?
        let environment: ConfigurationEnvironment
        let logger: Logger

        /// How long the kernel may take to end the rings of a switch that was killed.
        private static let killPatience = Duration.seconds(3)

        /// Starts from nothing, or from what was kept.
        func begin() async throws -> Running {
            let directory = try RuntimeDirectory(path: configuration.runtimeDirectory)
            var passed = KeptEstate.passed()
            var present = StateKeeper.identities(of: passed)
            let patience = directory.wasAbandoned || !passed.isEmpty ? Self.killPatience : .zero
            let store = try makeStore()
            let estate = passed.isEmpty ? nil : find(passed)
            if estate == nil {
                // Before a port is opened: as long as anybody holds what is of no use, here or
                // there, its sockets answer and its devices are busy.
                passed = [:]
                if let manager = store?.manager { StateKeeper.forget(&present, at: manager) }
            }
            var first = configuration
            if let estate { first.ports = estate.former.ports }
            let control = try await makeSwitch(first, store)
            var missing: [any ManagedPort] = []
            if let estate {
                do {
                    missing = try await control.enter(
                        estate.kept.full, estate.kept.descriptors)
                } catch {
                    // At once, so that nothing is removed that the next one may use.
                    logger.error("\(error)")
                    Glibc.exit(1)
                }
            } else {
                try await control.open(patience: patience)
            }
            // Before anything moves: what was left behind is not true any more then.
            await keep(control, store, former: estate?.kept, present: present)
            if estate != nil { await control.forward(opening: missing) }
            let running = await Running(self, control, directory)
            do {
                try await running.open(isSuccessor: false)
            } catch {
                await control.close()
                throw error
            }
            let facts = await running.facts
            logger.info(
                estate == nil ? "switch runs" : "took over what was kept", metadata: facts)
            if estate != nil { await control.settle(into: configuration) }
            return await announced(running)
        }

        /// Starts in place of the switch that runs, whose VMs do not notice.
        func takeOver() async throws -> Running {
            let client = try TakeoverClient(runtimeDirectory: configuration.runtimeDirectory)
            let offer = try client.ask(environment: environment)
            var first = configuration
            first.ports = offer.configuration.ports
            try DescriptorLimit.raise(for: first)
            let store = try makeStore()
            // Everything that takes time comes before the other one rests.
            let control = try await makeSwitch(first, store)
            let estate = try client.take(as: offer)
            let directory = RuntimeDirectory(
                path: configuration.runtimeDirectory, adopting: estate.lock.take())
            let running = await Running(self, control, directory)
            let missing: [any ManagedPort]
            do {
                missing = try await control.enter(
                    estate.full, estate.descriptors, isWhole: true)
                try await running.open(isSuccessor: true)
                // From here on nothing fails.
                try client.finish()
            } catch {
                // At once: what objects do at their end, such as removing files, is not for us. The
                // other switch goes on when this process is gone.
                logger.error("\(error)")
                Glibc.exit(1)
            }
            await control.forward(opening: missing)
            await running.takePlaces()
            client.waitForEnd()
            await keep(control, store, former: nil, present: [:])
            var facts = await running.facts
            facts["predecessor"] = "\(offer.pid)"
            logger.info("took over", metadata: facts)
            await control.settle(into: configuration)
            return await announced(running)
        }

        /// Has the service manager keep what a successor needs.
        private func keep(
            _ control: Switch, _ store: (manager: ServiceManager, counters: CounterFile)?,
            former: KeptEstate?, present: [String: FileIdentity]
        ) async {
            guard let store else { return }
            do {
                try await control.keep(store, former: former, present: present, logger: logger)
            } catch {
                logger.error("connections are not kept", metadata: ["reason": "\(error)"])
            }
        }

        /// What was kept, and the configuration that belongs to it.
        private func find(
            _ passed: [String: PassedDescriptor]
        ) -> (kept: KeptEstate, former: Configuration)? {
            do {
                let kept = try KeptEstate(passed)
                let former = try Configuration.parse(
                    text: kept.full.state.configuration, fileName: "(what was kept)",
                    environment: environment)
                return (kept, former)
            } catch {
                logger.error(
                    "what was kept is of no use, starting anew", metadata: ["reason": "\(error)"])
                return nil
            }
        }

        /// Where the service manager is to keep what a successor needs; nil: there is none.
        private func makeStore() throws -> (manager: ServiceManager, counters: CounterFile)? {
            guard let manager = ServiceManager.current(), ServiceManager.mayKeepDescriptors else {
                return nil
            }
            return (manager, try CounterFile())
        }

        private func makeSwitch(
            _ configuration: Configuration,
            _ store: (manager: ServiceManager, counters: CounterFile)?
        ) async throws -> Switch {
            try await Switch(
                configuration, configurationFile: file,
                counterFile: store?.counters.file.descriptor, logger: logger)
        }

        private func announced(_ running: Running) async -> Running {
            if let service = ServiceManager.current() {
                await running.control.begin(service: service)
            }
            if file == nil { AttachmentHints.print(configuration) }
            for warning in await running.control.status().warnings { logger.warning("\(warning)") }
            return running
        }
    }

    /// A switch and its sockets.
    @ControlActor
    final class Running {
        let control: Switch
        private let start: Start
        private let directory: RuntimeDirectory
        private let server: ControlServer
        private let handover: HandoverServer
        /// How long a predecessor waits for its successor's control socket.
        private static let replacementPatience = Duration.seconds(2)

        init(_ start: Start, _ control: Switch, _ directory: RuntimeDirectory) {
            self.start = start
            self.control = control
            self.directory = directory
            let path = start.configuration.runtimeDirectory
            server = ControlServer(
                path: path + "/control.sock", service: control, logger: start.logger)
            let takeover = TakeoverService(control, lock: directory.lock, logger: start.logger)
            handover = HandoverServer(
                path: path + "/" + HandoverProtocol.socketName,
                service: SwitchHandover(takeover: takeover, other: control), logger: start.logger)
            takeover.onDeparture = { [weak self] in self?.depart() }
        }

        /// What the log says of a switch that begins.
        var facts: Logger.Metadata {
            [
                "name": "\(control.configuration.name)",
                "ports": "\(control.configuration.ports.count)",
                "workers": "\(control.configuration.workers)",
                "runtime_dir": "\(directory.path)",
            ]
        }

        /// Opens the sockets.
        /// - Parameter isSuccessor: beside those of a predecessor, until `takePlaces`.
        func open(isSuccessor: Bool) async throws {
            let path = directory.path
            try await server.start(at: isSuccessor ? path + "/control.new" : nil)
            do {
                try handover.start(at: isSuccessor ? path + "/handover.new" : nil)
            } catch {
                await server.stop()
                throw error
            }
        }

        /// Takes the places of the predecessor's sockets and lock.
        func takePlaces() async {
            do {
                try await server.takePlace()
                try handover.takePlace()
                try directory.sign()
            } catch {
                start.logger.error("\(error)")
            }
        }

        /// Serves until SIGINT or SIGTERM, and ends.
        nonisolated func serve(_ signals: AsyncStream<Int32>) async {
            await SwitchDaemon.attend(signals, control, start.logger)
            await control.announceEnd()
            await handover.stop()
            await server.stop()
            await end()
        }

        private func end() async {
            if await control.leaveKept() {
                directory.clear()
                start.logger.info(
                    "switch has ended and left its connections to the service manager")
                // At once: objects that end would remove files that the next switch needs.
                Glibc.exit(0)
            } else {
                await control.close()
                start.logger.info("switch has ended")
            }
            // The lock is held until everything in the directory is gone.
            withExtendedLifetime(directory) {}
        }

        /// Ends the process for a successor that forwards, and leaves everything as it is.
        private func depart() {
            Task {
                await control.announceDeparture()
                await server.waitUntilReplaced(within: Self.replacementPatience)
                Glibc.exit(0)
            }
        }
    }
}
