/// Why `demo` did not come to its end; the description is a message for people.
public enum DemoError: Error, CustomStringConvertible {
    /// The options cannot work.
    case usage(String)
    /// Something is missing on this machine; says what to do.
    case unfit(String)
    /// A program of the demo ended too early, or said what it should not.
    case failed(program: String, reason: String)
    /// A sign of life did not come in time.
    case tooSlow(waitingFor: String, seconds: Int)
    /// A signal asked for the end.
    case interrupted(signal: Int32)
    /// A system call failed.
    case system(what: String)

    init(_ failure: SystemFailure) { self = .system(what: failure.description) }

    /// Exit code of the process: 2 for wrong usage, 128 + signal as a shell has it, else 1.
    public var exitCode: Int32 {
        switch self {
        case .usage: 2
        case .interrupted(let signal): 128 + signal
        default: 1
        }
    }

    /// The message, one line without a full stop.
    public var description: String {
        switch self {
        case .usage(let text), .unfit(let text), .system(let text): text
        case .failed(let program, let reason): "\(program): \(reason)"
        case .tooSlow(let what, let seconds): "waited \(seconds) s in vain for \(what)"
        case .interrupted: "interrupted"
        }
    }
}
