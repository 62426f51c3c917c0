import Glibc

/// Why `attach` could not do its work; the description is a message for people.
public enum AttachError: Error, CustomStringConvertible {
    /// The options cannot work.
    case usage(String)
    /// Something that is not as it must be on this machine; says what to do.
    case unfit(String)
    /// The switch's port cannot be joined.
    case cannotJoin(path: String, code: Int32)
    /// A system call failed.
    case system(what: String, code: Int32)

    /// Exit code of the process: 2 for wrong usage, else 1.
    public var exitCode: Int32 {
        if case .usage = self { 2 } else { 1 }
    }

    init(_ failure: SystemFailure) {
        self = .system(what: failure.what, code: failure.code)
    }

    /// The message, one line without a full stop.
    public var description: String {
        switch self {
        case .usage(let text), .unfit(let text): text
        case .cannotJoin(let path, let code): "\(path): \(Self.reason(joinCode: code))"
        case .system(let what, let code): "\(what): \(SystemText.reason(code))"
        }
    }

    /// Why connect() to a port failed, with the remedy (unix(7), kernel: net/unix/af_unix.c).
    static func reason(joinCode code: Int32) -> String {
        switch code {
        case ENOENT: "there is no such socket; is the switch running?"
        case ECONNREFUSED: "nobody listens there; is the switch running?"
        case EPERM: "the port is taken by another peer; one path serves one peer"
        case EACCES:
            "permission denied; the port's `mode`, `owner` and `group` decide who may attach"
        case EPROTOTYPE: "this is no port of a switch (a socket of another type)"
        case ENAMETOOLONG: "the path is longer than 107 bytes"
        default: SystemText.reason(code)
        }
    }
}
