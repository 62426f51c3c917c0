import ArgumentParser
import Control

/// `ringswitch events`: what happens to a switch, as it happens.
struct EventsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Follow what happens: lines of JSON, one an event.",
        discussion: """
            Every line has `time`, `type` and the fields that the README lists for the type. A \
            reader that is too slow loses events and is told how many (`events_lost`); it holds \
            nothing up. The command ends when the switch does: with exit code 0 after `stopping`, \
            with 1 when the switch has gone without a word.

            EXAMPLES
              ringswitch events | jq -r 'select(.port == "vm1") | .type'
              ringswitch events --type connection_established --type connection_closed
            """)

    @OptionGroup var target: SwitchOptions

    @Option(
        help: ArgumentHelp(
            "Only events of this type; may be given several times.", valueName: "type"),
        transform: { text in
            guard let kind = SwitchEvent.Kind(rawValue: text) else {
                let words = SwitchEvent.Kind.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("'\(text)' is no type of events; there are \(words)")
            }
            return kind
        })
    var type: [SwitchEvent.Kind] = []

    func run() throws {
        try target.client().follow(type) { try Output.write($0 + "\n") }
    }
}
