/// Why a switch cannot start; the text is one or more sentences for people.
public struct SwitchError: Error, CustomStringConvertible, Sendable {
    /// What went wrong, and the remedy where there is one.
    /// The sentences.
    public let description: String

    init(_ description: String) { self.description = description }
}
