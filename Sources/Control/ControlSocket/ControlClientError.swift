import Glibc

/// Why a command did not get its answer; `description` names the cause and the remedy.
public enum ControlClientError: Error, Sendable, Equatable, CustomStringConvertible {
    /// No file at the path, or nothing found in any runtime directory.
    case noSwitch(lookedAt: [String])
    /// Switches run, but none has the name; names of those that run.
    case unknownName(String, running: [String])
    /// Several switches run and none was chosen; each with its name, process and socket.
    case ambiguous([String])
    /// The socket belongs to another user.
    case permissionDenied(String)
    /// A socket file that nobody serves.
    case stale(String)
    /// A switch that accepted and said nothing.
    case notResponding(String, seconds: Int)
    /// A switch that was followed and has gone without a word.
    case connectionLost(String)
    /// The path does not fit into a socket address.
    case pathTooLong(String)
    /// What answered does not speak as a switch does.
    case malformedReply(String, String)
    /// Any other failure of the system.
    case system(String, code: Int32)
    /// The switch answered, and refused.
    case declined(ControlError)

    /// The case that fits a failed system call on the socket at `path`.
    init(errno code: Int32, path: String) {
        switch code {
        case ENOENT, ENOTDIR: self = .noSwitch(lookedAt: [path])
        case EACCES, EPERM: self = .permissionDenied(path)
        case ECONNREFUSED: self = .stale(path)
        default: self = .system(path, code: code)
        }
    }

    /// Cause and remedy, for people; several lines where switches are listed.
    public var description: String {
        switch self {
        case .noSwitch(let paths):
            return "no switch is running (looked at \(paths.joined(separator: ", ")));"
                + " start one with: ringswitch run"
        case .unknownName(let name, let running):
            let names = running.map(\.terminalSafe).joined(separator: ", ")
            return "no running switch is named \(name.terminalSafe)"
                + (running.isEmpty ? "; start one with: ringswitch run" : "; running: \(names)")
        case .ambiguous(let switches):
            return "several switches are running; choose one with --switch NAME or --socket PATH:"
                + switches.map { "\n  " + $0 }.joined()
        case .permissionDenied(let path):
            return "permission denied: \(path) belongs to another user;"
                + " run the command as that user or as root"
        case .stale(let path):
            return "connection refused: the switch that made \(path) is not running any more;"
                + " start one with: ringswitch run"
        case .notResponding(let path, let seconds):
            return "the switch at \(path) does not respond within \(seconds) s"
        case .connectionLost(let path):
            return "the switch at \(path) has gone without a word"
        case .pathTooLong(let path):
            return "\(path): a socket path has 1 to \(ControlSocketAddress.pathLengthMax) bytes,"
                + " this one has \(path.utf8.count)"
        case .malformedReply(let path, let detail):
            return "no proper answer from \(path): \(detail)"
        case .system(let path, let code):
            return "\(path): \(String(cString: strerror(code)))"
        case .declined(let error):
            return error.description
        }
    }
}
