// `status --watch`: one report a second.
//
// On a terminal each report is drawn over the last: cursor home, every line cleared behind its end,
// the rest of the screen cleared. Lines are cut to the window, since a wrapped or scrolled picture
// could not be drawn over. Elsewhere reports follow each other without any escape code. A switch
// that stops answering is said to, and shown again when it is back.

import Control
import Foundation
import Glibc

/// Shows a switch's status again and again.
struct StatusWatch {
    private let client: ControlClient
    private let isJSON: Bool
    private let isTerminal = isatty(STDOUT_FILENO) == 1

    init(client: ControlClient, isJSON: Bool) {
        self.client = client
        self.isJSON = isJSON
    }

    /// Runs until the process is interrupted.
    /// - Throws: when the first report cannot be had; later failures are shown and outlived.
    func run() throws -> Never {
        var report = try client.status()
        var earlier: StatusReport?
        if isTerminal, !isJSON { try Output.write("\u{1b}[2J") }
        try show(report, since: earlier)
        while true {
            Thread.sleep(forTimeInterval: 1)
            do throws(ControlClientError) {
                (earlier, report) = (report, try client.status())
            } catch {
                try showFailure(error)
                continue
            }
            try show(report, since: earlier)
        }
    }

    private func show(_ report: StatusReport, since earlier: StatusReport?) throws {
        if isJSON {
            let line = try ReportJSON.encode(report, layout: .line)
            try Output.write(String(decoding: line, as: UTF8.self) + "\n")
        } else {
            try draw(StatusText.lines(for: report, since: earlier))
        }
    }

    private func showFailure(_ failure: ControlClientError) throws {
        if isTerminal, !isJSON {
            try draw("\(failure)".split(separator: "\n").map(String.init))
        } else {
            Output.complain("\(failure)")
        }
    }

    private func draw(_ lines: [String]) throws {
        guard isTerminal else {
            try Output.write(lines.joined(separator: "\n") + "\n\n")
            return
        }
        let window = Self.windowSize()
        let visible = lines.prefix(max(1, window.rows - 1)).map { $0.prefix(window.columns) }
        try Output.write("\u{1b}[H" + visible.map { $0 + "\u{1b}[K\n" }.joined() + "\u{1b}[J")
    }

    /// The terminal's size in characters; 24 by 80 where it does not tell.
    private static func windowSize() -> (rows: Int, columns: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0, size.ws_col > 0
        else { return (24, 80) }
        return (Int(size.ws_row), Int(size.ws_col))
    }
}
