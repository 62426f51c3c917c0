import ArgumentParser
import Control

/// `ringswitch check`: what a configuration means, or everything that is wrong with it.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration and print it with every default filled in.",
        discussion: """
            Touches nothing on the machine. Every error is printed, one line each, with file, line \
            and key, and the exit code is 2.
            """)

    @OptionGroup var source: ConfigurationOptions

    func run() throws {
        let resolved = try Configuration.load(file: source.config)
        let origin = Configuration.source(file: source.config) ?? "no file: the defaults"
        try Output.write("# \(origin)\n" + resolved.toml)
    }
}
