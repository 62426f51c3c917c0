import ArgumentParser
import Control
import Logging

/// `ringswitch run`: the daemon, in the foreground.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a switch in the foreground.",
        discussion: """
            Without any file the switch listens on four ports, vm1.sock to vm4.sock in the runtime \
            directory, and prints how to attach virtual machines to them. Events are logged on \
            standard error, one line each. SIGINT and SIGTERM end the switch, SIGHUP reloads.
            """)

    @OptionGroup var source: ConfigurationOptions

    @Flag(
        help: ArgumentHelp(
            "Replace the switch that runs in the runtime directory.",
            discussion: """
                Takes over its sockets and devices with the virtual machines behind them, which do \
                not notice; then applies the configuration as a reload would. If that fails, the \
                other switch runs on.
                """))
    var takeover = false

    func run() {
        LineLogHandler.bootstrap()
        SwitchDaemon.main(
            SwitchDaemon.Options(configurationFile: source.config, takesOver: takeover),
            logger: Logger(label: "ringswitch"))
    }
}
