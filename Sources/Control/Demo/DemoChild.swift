import Foundation
import Glibc

/// A child of the demo: what it says goes to files in the demo's directory, where failures are
/// explained from and results are read.
final class DemoChild {
    /// What people call it.
    let name: String
    let process: ChildProcess
    /// File with its standard output.
    let outputPath: String
    /// File with its standard error.
    let errorPath: String

    /// Starts a child.
    /// - Parameters:
    ///   - directory: where its two files go; `label` names them.
    ///   - isOwnProgram: executes this very program, whatever became of its file.
    init(
        name: String, label: String, arguments: [String], directory: String,
        isOwnProgram: Bool = false, host: DemoHost.Entrance? = nil
    ) throws(SystemFailure) {
        self.name = name
        outputPath = "\(directory)/\(label).out"
        errorPath = "\(directory)/\(label).err"
        let input = try Self.open("/dev/null", O_RDONLY)
        defer { close(input) }
        let output = try Self.open(outputPath, O_WRONLY | O_CREAT | O_TRUNC)
        defer { close(output) }
        let error = try Self.open(errorPath, O_WRONLY | O_CREAT | O_TRUNC)
        defer { close(error) }
        process = try ChildProcess(
            ChildProcess.Request(
                arguments: arguments, program: isOwnProgram ? "/proc/self/exe" : nil,
                userNamespace: host?.userNamespace ?? -1,
                networkNamespace: host?.networkNamespace ?? -1, input: input, output: output,
                error: error, hasOwnProcessGroup: true))
    }

    /// What it has written to standard output.
    var output: Data { FileManager.default.contents(atPath: outputPath) ?? Data() }

    /// Why the demo cannot go on without it: its own last words.
    var endedTooEarly: DemoError {
        let words = [errorPath, outputPath].lazy.compactMap { path -> String? in
            let text = FileManager.default.contents(atPath: path) ?? Data()
            return String(decoding: text, as: UTF8.self).split(separator: "\n").last
                .map(String.init)
        }
        guard var reason = words.first?.terminalSafe else {
            let code = process.exitCode ?? 0
            return .failed(program: name, reason: "ended with exit code \(code) and said nothing")
        }
        // Our own program says its name first, which would stand there twice.
        let ownName = "ringswitch: "
        if reason.hasPrefix(ownName) { reason.removeFirst(ownName.count) }
        return .failed(program: name, reason: reason)
    }

    private static func open(_ path: String, _ flags: Int32) throws(SystemFailure) -> Int32 {
        let descriptor = Glibc.open(path, flags | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemFailure(what: "cannot open \(path)", code: errno) }
        return descriptor
    }
}
