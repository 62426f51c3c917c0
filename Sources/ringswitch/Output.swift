import Control
import Foundation

/// What the program prints, unbuffered, so that a reader behind a pipe has each report at once.
enum Output {
    /// Writes `text` to standard output as it stands.
    /// - Throws: when it cannot be written, for instance to a full disk.
    static func write(_ text: String) throws {
        try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
    }

    /// Writes `lines` to standard output, each with its line break.
    static func write(lines: [String]) throws {
        try write(lines.map { $0 + "\n" }.joined())
    }

    /// Writes `report` to standard output as JSON.
    static func write(json report: some Encodable) throws {
        try write(String(decoding: ReportJSON.encode(report), as: UTF8.self) + "\n")
    }

    /// Writes `message` and a line break to standard error, led by the program's name.
    static func complain(_ message: String) {
        writeError("ringswitch: \(message)\n")
    }

    /// Writes `text` to standard error as it stands; where that fails there is no one to tell.
    static func writeError(_ text: String) {
        try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
    }
}
