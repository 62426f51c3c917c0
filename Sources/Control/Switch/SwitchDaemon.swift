// The process around a switch: configuration, runtime directory, signals, control socket, exit
// code.

internal import Dataplane
internal import Dispatch
internal import Glibc
public import Logging
internal import Synchronization

/// `ringswitch run`.
public enum SwitchDaemon {
    /// What `run` was asked for.
    public struct Options: Sendable {
        /// The file given with --config; nil: the usual places, else the defaults.
        public var configurationFile: String?

        /// Options with this file.
        public init(configurationFile: String? = nil) { self.configurationFile = configurationFile }
    }

    /// Runs a switch in the foreground until SIGINT or SIGTERM.
    /// - Returns: the exit code: 0 after a clean end, 1 when something failed, 2 for a wrong
    ///   configuration.
    public static func run(_ options: Options, logger: Logger) async -> Int32 {
        // A peer that leaves must not end the switch; signals that end it are taken as events.
        signal(SIGPIPE, SIG_IGN)
        let environment = ConfigurationEnvironment.current
        let file = Configuration.source(file: options.configurationFile, environment: environment)
        do {
            let configuration = try Configuration.load(file: file, environment: environment)
            try DescriptorLimit.raise(for: configuration)
            let signals = SignalStream([SIGINT, SIGTERM, SIGHUP], logger: logger)
            let directory = try RuntimeDirectory(path: configuration.runtimeDirectory)
            try await serve(
                configuration, file: file, patience: directory.wasAbandoned ? killPatience : .zero,
                signals: signals, logger: logger)
            // The lock is held until everything in the directory is gone.
            withExtendedLifetime(directory) {}
            return 0
        } catch let errors as ConfigurationErrors {
            for error in errors.errors { logger.error("\(error)") }
            return 2
        } catch {
            logger.error("\(error)")
            return 1
        }
    }

    /// How long the kernel may take to end the rings of a switch that was killed.
    private static let killPatience = Duration.seconds(3)

    private static func serve(
        _ configuration: Configuration, file: String?, patience: Duration, signals: SignalStream,
        logger: Logger
    ) async throws {
        let control = try await Switch(configuration, configurationFile: file, logger: logger)
        try await control.open(patience: patience)
        let server = ControlServer(
            path: configuration.runtimeDirectory + "/control.sock", service: control, logger: logger
        )
        do {
            try await server.start()
        } catch {
            await control.close()
            throw error
        }
        logger.info(
            "switch runs",
            metadata: [
                "name": "\(configuration.name)", "ports": "\(configuration.ports.count)",
                "workers": "\(configuration.workers)",
                "runtime_dir": "\(configuration.runtimeDirectory)",
            ])
        if file == nil { AttachmentHints.print(configuration) }
        for warning in await control.status().warnings { logger.warning("\(warning)") }
        await attend(signals, control, logger)
        await server.stop()
        await control.close()
        logger.info("switch has ended")
    }

    /// Reloads at each SIGHUP; returns at SIGINT or SIGTERM.
    private static func attend(_ signals: SignalStream, _ control: Switch, _ logger: Logger) async {
        for await signal in signals.stream {
            guard signal == SIGHUP else {
                logger.info(
                    "ending", metadata: ["signal": "\(signal == SIGINT ? "SIGINT" : "SIGTERM")"])
                return
            }
            do throws(ControlError) {
                let report = try await control.reload()
                logger.info(
                    "configuration reloaded",
                    metadata: ["changes": "\(report.lines.joined(separator: "; "))"])
            } catch {
                for message in error.messages { logger.error("reload refused: \(message)") }
            }
        }
    }
}

/// Signals as a stream of events.
///
/// SIGINT or SIGTERM again, a second after the first, ends the process at once: whatever keeps the
/// switch from ending must not keep a person from ending it. Sooner it is taken for the same wish,
/// which a terminal and a supervisor may both pass on.
///
/// Thread-safety: the sources are made once and only kept alive, which is the argument for
/// `@unchecked Sendable`.
private final class SignalStream: @unchecked Sendable {
    let stream: AsyncStream<Int32>
    private let sources: [any DispatchSourceSignal]

    init(_ numbers: [Int32], logger: Logger) {
        let (stream, continuation) = AsyncStream<Int32>.makeStream()
        self.stream = stream
        let wish = EndWish()
        sources = numbers.map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number)
            source.setEventHandler {
                if number != SIGHUP, wish.isRepeated() {
                    logger.error(
                        "ending at once, as asked again: sockets and devices may be left behind")
                    _exit(1)
                }
                continuation.yield(number)
            }
            source.activate()
            return source
        }
    }
}

/// When the process was first asked to end.
private final class EndWish: Sendable {
    private let first = Mutex<ContinuousClock.Instant?>(nil)

    /// Notes the wish; true a second or more after the first one.
    func isRepeated() -> Bool {
        first.withLock { first in
            let now = ContinuousClock.now
            guard let before = first else {
                first = now
                return false
            }
            return now - before >= .seconds(1)
        }
    }
}
