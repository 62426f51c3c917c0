// The process around a switch: configuration, runtime directory, signals, control socket, exit
// code.

internal import Dataplane
internal import Glibc
public import Logging

/// `ringswitch run`.
public enum SwitchDaemon {
    /// What `run` was asked for.
    public struct Options: Sendable {
        /// The file given with --config; nil: the usual places, else the defaults.
        public var configurationFile: String?
        /// Whether to replace the switch that runs in the runtime directory, VMs and all.
        public var takesOver: Bool

        /// Options with this file.
        public init(configurationFile: String? = nil, takesOver: Bool = false) {
            self.configurationFile = configurationFile
            self.takesOver = takesOver
        }
    }

    /// Runs a switch in the foreground until SIGINT or SIGTERM, and ends the process: with exit
    /// code 0 after a clean end, 1 when something failed, 2 for a wrong configuration.
    ///
    /// To be called by the main thread before there is another one, since signals are blocked for
    /// all. The main thread then waits for signals and does nothing else.
    public static func main(_ options: Options, logger: Logger) -> Never {
        // Before anything else is opened.
        InheritedDescriptors.collect()
        // libdispatch wants a better priority for its own thread, and complains on standard error
        // of every user who may not give it.
        setenv("LIBDISPATCH_LOG", "NO", 0)
        // A peer that leaves must not end the switch.
        signal(SIGPIPE, SIG_IGN)
        let (signals, continuation) = AsyncStream<Int32>.makeStream()
        do throws(SystemFailure) {
            let inlet = try SignalInlet()
            // Of the main thread's priority it would run, and all that it begins, on threads that
            // ask for a better one than the workers have.
            Task(priority: .medium) {
                Glibc.exit(await run(options, signals: signals, logger: logger))
            }
            pass(inlet, to: continuation, logger)
        } catch {
            logger.error("\(error)")
            Glibc.exit(1)
        }
    }

    /// Passes signals on.
    ///
    /// SIGINT or SIGTERM again, a second after the first, ends the process at once: whatever keeps
    /// the switch from ending must not keep a person from ending it. Sooner it is taken for the
    /// same wish, which a terminal and a supervisor may both pass on.
    private static func pass(
        _ inlet: SignalInlet, to stream: AsyncStream<Int32>.Continuation, _ logger: Logger
    ) -> Never {
        var endAskedAt: ContinuousClock.Instant?
        while true {
            _ = Waiting.forReadable([inlet.descriptor], milliseconds: -1)
            while let number = inlet.take()?.number {
                if number != SIGHUP {
                    let now = ContinuousClock.now
                    if let before = endAskedAt, now - before >= .seconds(1) {
                        logger.error("ending at once, as asked again; sockets may be left behind")
                        _exit(1)
                    }
                    endAskedAt = endAskedAt ?? now
                }
                stream.yield(number)
            }
        }
    }

    private static func run(
        _ options: Options, signals: AsyncStream<Int32>, logger: Logger
    ) async -> Int32 {
        let environment = ConfigurationEnvironment.current
        let file = Configuration.source(file: options.configurationFile, environment: environment)
        do {
            // First without a configuration: reading it takes a descriptor.
            try DescriptorLimit.raise()
            let configuration = try Configuration.load(file: file, environment: environment)
            try DescriptorLimit.raise(for: configuration)
            let start = Start(
                configuration: configuration, file: file.map(absolute), environment: environment,
                logger: logger)
            let running = try await options.takesOver ? start.takeOver() : start.begin()
            await running.serve(signals)
            return 0
        } catch let errors as ConfigurationErrors {
            for error in errors.errors { logger.error("\(error)") }
            return 2
        } catch {
            logger.error("\(error)")
            return 1
        }
    }

    /// `path` from the root: `status` and `save` name the file to programs that run elsewhere.
    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let directory = getcwd(nil, 0) else { return path }
        defer { free(directory) }
        return String(cString: directory) + "/" + path
    }

    /// Reloads at each SIGHUP; returns at SIGINT or SIGTERM.
    static func attend(_ signals: AsyncStream<Int32>, _ control: Switch, _ logger: Logger)
        async
    {
        for await signal in signals {
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
