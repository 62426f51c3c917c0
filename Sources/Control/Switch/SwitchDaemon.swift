// The process around a switch: configuration, runtime directory, signals, control socket, exit code.

internal import Dataplane
internal import Dispatch
internal import Glibc
public import Logging

/// `ringswitch run`.
public enum SwitchDaemon {
    /// What `run` was asked for.
    public struct Options: Sendable {
        /// The file given with --config; nil: the usual places, else the defaults.
        public var configurationFile: String?

        public init(configurationFile: String? = nil) { self.configurationFile = configurationFile }
    }

    /// Runs a switch in the foreground until SIGINT or SIGTERM.
    /// - Returns: the exit code: 0 after a clean end, 1 when something failed, 2 for a wrong configuration.
    public static func run(_ options: Options, logger: Logger) async -> Int32 {
        // A peer that leaves must not end the switch; signals that end it are taken as events.
        signal(SIGPIPE, SIG_IGN)
        let signals = SignalStream([SIGINT, SIGTERM, SIGHUP])
        let environment = ConfigurationEnvironment.current
        let file = Configuration.source(file: options.configurationFile, environment: environment)
        do {
            let configuration = try Configuration.load(file: file, environment: environment)
            let directory = try RuntimeDirectory(path: configuration.runtimeDirectory)
            let code = try await serve(configuration, file: file, signals: signals, logger: logger)
            // The lock is held until everything in the directory is gone.
            withExtendedLifetime(directory) {}
            return code
        } catch let errors as ConfigurationErrors {
            for error in errors.errors { logger.error("\(error)") }
            return 2
        } catch {
            logger.error("\(error)")
            return 1
        }
    }

    private static func serve(
        _ configuration: Configuration, file: String?, signals: SignalStream, logger: Logger
    ) async throws -> Int32 {
        let control = try await Switch(configuration, configurationFile: file, logger: logger)
        try await control.open()
        let server = ControlServer(
            path: configuration.runtimeDirectory + "/control.sock", service: control, logger: logger)
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
                "workers": "\(configuration.workers)", "runtime_dir": "\(configuration.runtimeDirectory)",
            ])
        if file == nil { AttachmentHints.print(configuration) }
        for warning in await control.status().warnings { logger.warning("\(warning)") }
        await attend(signals, control, logger)
        await server.stop()
        await control.close()
        logger.info("switch has ended")
        return 0
    }

    /// Reloads at each SIGHUP; returns at SIGINT or SIGTERM.
    private static func attend(_ signals: SignalStream, _ control: Switch, _ logger: Logger) async {
        for await signal in signals.stream {
            guard signal == SIGHUP else {
                logger.info("ending", metadata: ["signal": "\(signal == SIGINT ? "SIGINT" : "SIGTERM")"])
                return
            }
            do throws(ControlError) {
                let report = try await control.reload()
                logger.info("configuration reloaded", metadata: ["changes": "\(report.lines.joined(separator: "; "))"])
            } catch {
                for message in error.messages { logger.error("reload refused: \(message)") }
            }
        }
    }
}

/// Signals as a stream of events.
///
/// Thread-safety: the sources are made once and only kept alive, which is the argument for `@unchecked Sendable`.
private final class SignalStream: @unchecked Sendable {
    let stream: AsyncStream<Int32>
    private let sources: [any DispatchSourceSignal]

    init(_ numbers: [Int32]) {
        let (stream, continuation) = AsyncStream<Int32>.makeStream()
        self.stream = stream
        sources = numbers.map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number)
            source.setEventHandler { continuation.yield(number) }
            source.activate()
            return source
        }
    }
}
