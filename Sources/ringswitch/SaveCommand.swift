import ArgumentParser
import Control

/// `ringswitch save`: the running configuration, into a file.
struct SaveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "save",
        abstract: "Write what the switch runs with as a configuration file.",
        discussion: """
            Without --output the file that configured the switch is replaced. The file has the \
            keys that are not as they would be by default; comments and [port_defaults] of the \
            old one are gone. There is a whole file at any moment, the old or the new, and a file \
            keeps its mode. The program writes it, not the switch, so the user of the command \
            needs permission.
            """)

    @OptionGroup var target: SwitchOptions

    @Option(
        name: [.customShort("o"), .long],
        help: ArgumentHelp("File to write; - for standard output.", valueName: "file"))
    var output: String?

    func run() throws {
        let client = try target.client()
        let text = try client.runningConfiguration()
        if output == "-" { return try Output.write(text) }
        guard let path = try output ?? client.status().configurationFile else {
            throw ValidationError("the switch runs without a file: say where to with --output")
        }
        try ConfigurationFile.write(text, to: path)
        try Output.write(lines: ["saved to \(path)"])
    }
}
