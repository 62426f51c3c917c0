import Glibc

/// A process that was started, and this side's ends of its standard streams.
struct SpawnedProcess {
    /// Why a process could not be started, as errno says it.
    struct Failure: Error, CustomStringConvertible {
        let code: Int32
        var description: String { String(cString: strerror(code)) }
    }

    let pid: pid_t
    /// Writes to the process's standard input.
    let input: Int32
    /// Reads what the process writes to its standard output and standard error.
    let output: Int32, error: Int32

    /// Starts `command` as the leader of a new process group, with all signals at their defaults.
    ///
    /// The first element is looked up in PATH. No descriptor but the three streams is passed on.
    init(_ command: [String]) throws(Failure) {
        let input = try StreamPair()
        let output = try StreamPair()
        let error = try StreamPair()
        pid = try Self.start(
            command, streams: [input.childEnd, output.childEnd, error.childEnd])
        self.input = input.keepOwnEnd()
        self.output = output.keepOwnEnd()
        self.error = error.keepOwnEnd()
    }

    /// Writes `text` to a process's standard input; one that has ended does not read it.
    static func write(_ text: String, to input: Int32) {
        _ = text.withCString { send(input, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
    }

    private static func start(_ command: [String], streams: [Int32]) throws(Failure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (target, source) in streams.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, source, Int32(target))
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
        posix_spawnattr_setflags(&attributes, Int16(flags))
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)

        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, command[0], &actions, &attributes, arguments, environ)
        if code != 0 { throw Failure(code: code) }
        return pid
    }
}

/// One standard stream, closed when it goes out of scope but for the end that was kept.
///
/// It is a socket pair: a pipe that no other child inherits takes pipe2(2), which Swift does not
/// offer here, and a write to a socket can go without SIGPIPE.
private struct StreamPair: ~Copyable {
    let ownEnd: Int32, childEnd: Int32

    init() throws(SpawnedProcess.Failure) {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else {
            throw SpawnedProcess.Failure(code: errno)
        }
        ownEnd = ends[0]
        childEnd = ends[1]
    }

    consuming func keepOwnEnd() -> Int32 {
        let kept = ownEnd
        close(childEnd)
        discard self
        return kept
    }

    deinit {
        close(ownEnd)
        close(childEnd)
    }
}
