// Children are waited for by pidfd, never by SIGCHLD: each can be polled together with anything
// else, and reaping one cannot take another's exit code away. A child gets a signal when the thread
// that started it ends, so nothing outlives a parent that was killed.

import CShimsSystem
import Glibc

/// A child process, reaped at the latest when this object goes away.
///
/// Not thread-safe: one thread starts, asks and ends it. That thread must live as long as the child
/// is wanted, for its end is the parent's death to the kernel.
final class ChildProcess {
    /// What to run, and where.
    struct Request {
        /// Program and arguments; the first is looked up in PATH.
        var arguments: [String]
        /// File to execute where it differs from the first argument.
        var program: String?
        /// nsfs descriptors to enter, user namespace first; stay the caller's.
        var userNamespace: Int32 = -1
        var networkNamespace: Int32 = -1
        /// Descriptors that become 0, 1 and 2; stay the caller's. Negative: the parent's own.
        var input: Int32 = -1
        var output: Int32 = -1
        var error: Int32 = -1
        /// Whether the terminal's Ctrl-C is kept from the child.
        var hasOwnProcessGroup = false
    }

    /// Name for messages: the program's.
    let name: String
    let pid: Int32
    /// Readable when the child has ended.
    let descriptor: Int32
    private let hasOwnProcessGroup: Bool
    /// Exit code, or 128 + signal; `nil` while it runs or is not reaped.
    private(set) var exitCode: Int32?

    /// Starts a child; it runs its program when this returns.
    init(_ request: Request) throws(SystemFailure) {
        name = request.arguments[0]
        hasOwnProcessGroup = request.hasOwnProcessGroup
        var arguments = request.arguments.map { strdup($0) } + [nil]
        let program = request.program.map { strdup($0) } ?? nil
        defer {
            for argument in arguments { free(argument) }
            free(program)
        }
        var process = cshims_process()
        let result = arguments.withUnsafeMutableBufferPointer { arguments in
            var spawn = cshims_spawn(
                program: program, arguments: arguments.baseAddress,
                user_namespace: request.userNamespace,
                network_namespace: request.networkNamespace,
                standard_input: request.input, standard_output: request.output,
                standard_error: request.error, death_signal: SIGTERM,
                has_own_process_group: request.hasOwnProcessGroup)
            return cshims_process_spawn(&spawn, &process)
        }
        if result < 0 {
            let isNamespace = process.step == Int32(CSHIMS_SPAWN_NAMESPACE.rawValue)
            throw SystemFailure(
                what: isNamespace
                    ? "cannot enter the namespace to run \(request.arguments[0])"
                    : "cannot run \(request.arguments[0])",
                code: -result)
        }
        pid = process.pid
        descriptor = process.pidfd
    }

    deinit {
        end(graceMilliseconds: 0)
        _ = cshims_descriptor_close(descriptor)
    }

    /// Sends a signal, unless the child has been reaped. Its whole process group gets it where it
    /// has one of its own.
    func signal(_ number: Int32) {
        if exitCode == nil { _ = cshims_process_signal(pid, number, hasOwnProcessGroup) }
    }

    /// Whether it has ended; reaps it then.
    var hasEnded: Bool { wait(milliseconds: 0) != nil }

    /// Waits for the end, at most so long, and reaps the child.
    @discardableResult
    func wait(milliseconds: Int32) -> Int32? {
        if let exitCode { return exitCode }
        guard cshims_descriptor_poll(descriptor, Int16(POLLIN), milliseconds) > 0 else {
            return nil
        }
        let result = cshims_process_reap(pid)
        // Anything but an exit code would mean that somebody else reaped our child.
        if result != -EAGAIN { exitCode = result >= 0 ? result : 255 }
        return exitCode
    }

    /// Asks the child to end, waits so long, then makes it end.
    /// - Returns: the exit code.
    @discardableResult
    func end(graceMilliseconds: Int32) -> Int32 {
        signal(SIGTERM)
        if let code = wait(milliseconds: graceMilliseconds) { return code }
        signal(SIGKILL)
        return wait(milliseconds: -1) ?? 255
    }
}
