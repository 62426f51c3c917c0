import ArgumentParser
import Control

/// Which running switch a command talks to.
struct SwitchOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The running switch with this name.", valueName: "name"))
    var `switch`: String?

    @Option(
        help: ArgumentHelp(
            "The switch behind this control socket; neither is needed while one switch runs.",
            valueName: "path"))
    var socket: String?

    func validate() throws {
        if `switch` != nil, socket != nil {
            throw ValidationError("--switch and --socket exclude each other")
        }
    }

    /// A client of the switch that is meant.
    func client() throws(ControlClientError) -> ControlClient {
        if let socket { return ControlClient(socketPath: socket) }
        return try SwitchLocator().locate(name: `switch`)
    }
}
