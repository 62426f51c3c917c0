/// What the control socket asks of a switch.
///
/// Every member may be called at any time and from several connections at once; the switch puts
/// them in order. Calls may take as long as a reload takes; the data plane does not wait for them.
public protocol SwitchInterface: Sendable {
    /// The state of the switch now.
    func status() async -> StatusReport
    /// The MAC table, or the part of it that was learned on `port`.
    /// - Throws: `not_found` when there is no such port.
    func macs(port: String?) async throws(ControlError) -> MACReport
    /// Forgets every learned address, or those of `port`.
    /// - Returns: how many entries are gone.
    /// - Throws: `not_found` when there is no such port.
    func flushMACs(port: String?) async throws(ControlError) -> Int
    /// Reads the configuration again and applies it, all or nothing.
    /// - Throws: `invalid_configuration` with one message an error, `conflict` when a port's socket
    ///   or device is taken or another reload is under way; nothing has changed then.
    func reload() async throws(ControlError) -> ReloadReport
    /// Adds a port, or several with `count`.
    /// - Throws: `invalid_configuration` with one message an error, `conflict` when a socket or
    ///   device is taken; nothing has changed then.
    func addPort(_ edit: PortEdit) async throws(ControlError) -> ReloadReport
    /// Gives keys of a port other values.
    /// - Throws: as `addPort`, and `not_found` when there is no such port.
    func setPort(_ edit: PortEdit) async throws(ControlError) -> ReloadReport
    /// Removes a port.
    /// - Throws: `not_found` when there is no such port, `conflict` when it is the last.
    func removePort(_ name: String) async throws(ControlError) -> ReloadReport
    /// What the switch runs with, as TOML.
    func runningConfiguration() async -> String
    /// What happens from now on, of these types.
    /// - Throws: `conflict` when there are as many readers as there may be.
    func events(of kinds: Set<SwitchEvent.Kind>) async throws(ControlError) -> EventReader
}

/// Why the switch did not do what it was asked for; travels as `{"error": {"code", "messages"}}`.
public struct ControlError: Error, Codable, Sendable, Equatable, CustomStringConvertible {
    /// The kind of failure, stable for programs.
    public enum Code: String, Codable, Sendable {
        /// No such port or route.
        case notFound = "not_found"
        /// The configuration has errors; each is one message.
        case invalidConfiguration = "invalid_configuration"
        /// The state of the switch or of the machine forbids it now.
        case conflict
        /// The route exists, but not with this HTTP method.
        case methodNotAllowed = "method_not_allowed"
        /// The request is malformed.
        case badRequest = "bad_request"
        /// The switch is at fault.
        case internalError = "internal"
    }

    /// The kind of failure.
    public var code: Code
    /// Sentences for people, at least one.
    public var messages: [String]

    /// A failure told in several sentences.
    public init(_ code: Code, _ messages: [String]) {
        self.code = code
        self.messages = messages
    }

    /// A failure told in one sentence.
    public init(_ code: Code, _ message: String) {
        self.init(code, [message])
    }

    /// The messages, one a line.
    public var description: String { messages.joined(separator: "\n") }
}
