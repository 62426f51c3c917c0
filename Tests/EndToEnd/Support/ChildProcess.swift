import Foundation
import Glibc

/// A program under the control of a test: what it prints, how it ends, lines to its standard input.
///
/// The child leads a process group, which is killed when the last reference is dropped; `Guardian`
/// does the same when the test process dies first. Every wait has a limit and suspends the test, no
/// thread of its pool waits with it.
final class ChildProcess: Sendable {
    /// How a process ended.
    enum Ending: Equatable, Sendable {
        case exited(Int32)
        case killed(signal: Int32)
    }

    /// Everything that a finished process left.
    struct Result: Sendable {
        let ending: Ending
        let standardOutput: String
        let standardError: String
        var isSuccess: Bool { ending == .exited(0) }
    }

    /// Why a child disappointed the test, with the last lines that it printed.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// The process id, which may be another process's once the child has ended.
    let pid: pid_t
    private let commandLine: String
    private let input: Int32
    private let record: ChildRecord

    /// Starts `command`; its first element is looked up in PATH.
    init(_ command: [String]) throws {
        commandLine = command.joined(separator: " ")
        let spawned: SpawnedProcess
        do {
            spawned = try SpawnedProcess(command)
        } catch {
            throw Failure(description: "\(commandLine): \(error)")
        }
        pid = spawned.pid
        input = spawned.input
        record = ChildRecord(of: spawned)
        Guardian.shared.hold(.processGroup(spawned.pid))
    }

    deinit {
        kill()
        close(input)
        Guardian.shared.release(.processGroup(pid))
    }

    /// Runs `command` to its end.
    /// - Throws: `Failure` when it takes longer than `limit`; it is killed then.
    static func run(_ command: [String], within limit: Duration = .patience) async throws
        -> Result
    {
        try await ChildProcess(command).result(within: limit)
    }

    /// Whether `program` is found in PATH.
    static func isInstalled(_ program: String) -> Bool {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
            .contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(program)") }
    }

    /// Writes a line to the child's standard input; a child that ended does not read it.
    func send(line: String) {
        SpawnedProcess.write(line + "\n", to: input)
    }

    /// Sends `signal` to the child alone. Does nothing once it has ended.
    func send(signal: Int32) {
        record.ifRunning { _ = Glibc.kill(pid, signal) }
    }

    /// Stops every thread of the child and waits until they stand, as the signal alone only asks.
    /// - Throws: `Failure` when one still runs after a while.
    func pause() async throws {
        send(signal: SIGSTOP)
        let deadline = ContinuousClock.now + .patience
        while try !isStopped() {
            guard ContinuousClock.now < deadline else { throw failure("did not stop") }
            await Task.yield()
        }
    }

    /// Lets the child go on after `pause`.
    func resume() {
        send(signal: SIGCONT)
    }

    private func isStopped() throws -> Bool {
        let threads = "/proc/\(pid)/task"
        return try FileManager.default.contentsOfDirectory(atPath: threads).allSatisfy { name in
            let line = try? String(contentsOfFile: "\(threads)/\(name)/stat", encoding: .utf8)
            // The state follows the name, which may hold anything, in its parentheses.
            return line?.split(separator: ")").last?.hasPrefix(" T") == true
        }
    }

    /// Kills the child and all that it started. Does nothing once it has ended.
    func kill() {
        record.ifRunning { _ = Glibc.kill(-pid, SIGKILL) }
    }

    /// Waits for a line that contains `text`, of either stream, after the lines of earlier waits.
    /// - Throws: `Failure` when the child ends first or `limit` passes.
    @discardableResult
    func line(
        containing text: String, within limit: Duration = .patience
    ) async throws -> String {
        enum Outcome {
            case line(String)
            case ended
        }
        let outcome: Outcome? = await record.wait(atMost: limit) { state in
            if let line = state.takeLine(containing: text) { return .line(line) }
            return state.isFinished ? .ended : nil
        }
        switch outcome {
        case .line(let line): return line
        case .ended: throw failure("ended before it printed '\(text)'")
        case nil: throw failure("did not print '\(text)' within \(limit)")
        }
    }

    /// Waits for the end of the child.
    /// - Returns: `nil` when it still runs after `limit`.
    func ending(within limit: Duration = .patience) async -> Ending? {
        await record.wait(atMost: limit) { $0.ending }
    }

    /// Waits for the end of the child and of its output.
    /// - Throws: `Failure` when it still runs after `limit`; it is killed then.
    func result(within limit: Duration = .patience) async throws -> Result {
        let result: Result? = await record.wait(atMost: limit) { state in
            guard let ending = state.ending, state.isFinished else { return nil }
            return Result(
                ending: ending, standardOutput: state.text(of: .output),
                standardError: state.text(of: .error))
        }
        if let result { return result }
        kill()
        throw failure("was not done within \(limit)")
    }

    /// An error that shows the command, what is wrong with it, and the last lines that it printed.
    func failure(_ problem: String) -> Failure {
        let (lines, ending) = record.snapshot { ($0.lines, $0.ending) }
        let end = ending.map { " (\($0))" } ?? ""
        let tail = lines.suffix(20).map { "\n    " + $0 }.joined()
        return Failure(description: "\(commandLine): \(problem)\(end)\(tail)")
    }
}
