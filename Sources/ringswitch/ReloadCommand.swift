import ArgumentParser
import Control

/// `ringswitch reload`: apply the changed configuration file.
struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Make the switch read its configuration file again.",
        discussion: """
            The file is checked first; then everything in it is applied, or nothing. Ports that \
            did not change lose no frame. Keys that need a restart of the switch are named. Exit \
            code 2 means errors in the file, 1 that it could not be applied.
            """)

    @OptionGroup var target: SwitchOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        try Output.write(target.client().reload(), isJSON: json)
    }
}
