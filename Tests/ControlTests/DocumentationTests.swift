// The README against the program: what it lists must be what there is.
//
// Lists that follow from the code stand in the README word for word, and these tests say what to
// put in where one has changed. `<!-- reference:begin -->` and `<!-- reference:end -->` enclose the
// configuration reference.

import Foundation
import SwitchCore
import Testing

@testable import Control

/// README.md at the top of the repository.
private enum Readme {
    /// Its whole text.
    static func text() throws -> String {
        let top = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        return try String(contentsOf: top.appending(path: "README.md"), encoding: .utf8)
    }

    /// The bodies of the code blocks of one language, in order.
    static func codeBlocks(language: String) throws -> [String] {
        var blocks: [String] = []
        var isInside = false
        for line in try text().split(separator: "\n", omittingEmptySubsequences: false) {
            let fence = line.drop { $0 == " " }
            if isInside {
                isInside = fence != "```"
                if isInside { blocks[blocks.count - 1] += line + "\n" }
            } else if fence == "```" + language {
                isInside = true
                blocks.append("")
            }
        }
        return blocks
    }

    /// The lines of its tables that begin with a cell of code, as cells.
    static func rows() throws -> [[String]] {
        try text().split(separator: "\n").filter { $0.hasPrefix("| `") }.map { line in
            line.dropFirst(2).dropLast(2).split(separator: " | ").map(String.init)
        }
    }
}

@Suite struct DocumentationTests {
    @Test func `the README has the configuration reference word for word`() throws {
        let text = try Readme.text()
        let begin = try #require(text.range(of: "<!-- reference:begin -->\n"))
        let end = try #require(text.range(of: "<!-- reference:end -->"))
        let reference = text[begin.upperBound..<end.lowerBound]
        #expect(reference == Configuration.reference, "put in:\n\(Configuration.reference)")
    }

    @Test func `every TOML example of the README is a configuration`() throws {
        let examples = try Readme.codeBlocks(language: "toml")
        #expect(examples.count >= 3)
        for example in examples {
            let configuration = try Configuration.parse(
                text: example, fileName: "README.md",
                environment: ConfigurationEnvironment(userID: 0))
            #expect(!configuration.ports.isEmpty)
        }
    }

    @Test func `the README explains every drop reason in the words of the program`() throws {
        let rows = try Readme.rows()
        let listed = rows.filter { $0.count == 4 && ["in", "out"].contains($0[1]) }
        #expect(listed.map(\.first) == DropReason.allCases.map { "`\($0.name)`" })
        for (row, reason) in zip(listed, DropReason.allCases) {
            #expect(row[1] == (reason.isIngress ? "in" : "out"), "\(reason.name)")
            #expect(row[2] == reason.summary)
        }
    }

    @Test func `the README lists every type of event with its fields`() throws {
        let expected = SwitchEvent.Kind.allCases.map { kind in
            "| `\(kind.rawValue)` | "
                + kind.fields.map { "`\($0)`" }.joined(separator: ", ") + " | \(kind.summary) |"
        }.joined(separator: "\n")
        #expect(try Readme.text().contains(expected), "put in:\n\(expected)")
    }

    @Test func `the README lists every route of the control socket that one may call`() throws {
        let text = try Readme.text()
        for route in [
            "GET /status", "GET /macs", "POST /macs/flush", "POST /reload", "GET /events",
            "/metrics",
        ] {
            #expect(text.contains(route), "\(route)")
        }
    }

    @Test(.enabled(if: BuiltProgram.exists, "needs the built program"))
    func `the README lists the subcommands that the manual page lists`() throws {
        let help = try BuiltProgram.output(of: ["--help"])
        let commands = try #require(help.components(separatedBy: "SUBCOMMANDS:\n").last)
            .split(separator: "\n", omittingEmptySubsequences: false).prefix { !$0.isEmpty }
            .filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") }
            .map { "ringswitch \($0.dropFirst(2).prefix { $0 != " " })" }
        #expect(commands.count >= 7)
        let listed = try Readme.rows().compactMap(\.first).filter { $0.hasPrefix("`ringswitch ") }
        #expect(listed == commands.map { "`\($0)`" })
    }

    @Test(.enabled(if: BuiltProgram.exists, "needs the built program"))
    func `the README gives the program no option that it does not know`()
        throws
    {
        let commands = [
            "run", "check", "status", "macs list", "events", "reload", "port add", "port set",
            "port remove", "save", "attach", "attach-fd", "exec", "demo",
        ]
        let help = try commands.map {
            try BuiltProgram.output(of: ["help"] + $0.split(separator: " ").map(String.init))
        }.joined()
        let known = Set(help.matches(of: /--[a-z]+/).map { String($0.output) })
        for block in try Readme.codeBlocks(language: "sh") {
            for line in block.split(separator: "\n") where line.hasPrefix("ringswitch ") {
                // What follows `--` is somebody else's.
                let own = line.components(separatedBy: " -- ")[0]
                for option in own.matches(of: /--[a-z]+/) {
                    #expect(known.contains(String(option.output)), "\(line)")
                }
            }
        }
    }
}

/// The program beside the test bundle.
private enum BuiltProgram {
    private static let path = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().appending(path: "ringswitch").path

    static var exists: Bool { FileManager.default.isExecutableFile(atPath: path) }

    /// What the program prints on standard output.
    static func output(of arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }
}
