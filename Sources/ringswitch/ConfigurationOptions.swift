import ArgumentParser

/// Which configuration file a command reads.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        name: [.customShort("c"), .long],
        help: ArgumentHelp(
            "Configuration file; without it the usual place (see FILES), else the defaults.",
            valueName: "file"))
    var config: String?
}
