// Saving: a whole file at any moment, and nothing beside it.

import Foundation
import Glibc
import Testing

@testable import Control

@Suite struct ConfigurationFileTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("lan.toml") }

    private func mode(_ path: String) -> mode_t {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : 0
    }

    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    }

    @Test func `a file is made, replaced, and keeps its mode`() throws {
        try ConfigurationFile.write("one\n", to: path)
        #expect(mode(path) == 0o644)
        chmod(path, 0o600)
        try ConfigurationFile.write("two\n", to: path)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "two\n")
        #expect(mode(path) == 0o600)
        #expect(try names() == ["lan.toml"])
    }

    @Test func `a reader of the old file goes on reading it`() throws {
        try ConfigurationFile.write("old\n", to: path)
        let reader = try #require(FileHandle(forReadingAtPath: path))
        try ConfigurationFile.write("new and longer\n", to: path)
        #expect(try reader.readToEnd() == Data("old\n".utf8))
    }

    @Test func `a symbolic link stays one`() throws {
        let target = directory("target.toml")
        try ConfigurationFile.write("old\n", to: target)
        #expect(symlink(target, path) == 0)
        try ConfigurationFile.write("new\n", to: path)
        #expect(try String(contentsOfFile: target, encoding: .utf8) == "new\n")
        var status = stat()
        #expect(lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
    }

    @Test func `what is no file is left alone`() throws {
        #expect(mkdir(path, 0o700) == 0)
        let error = #expect(throws: ConfigurationFileError.self) {
            try ConfigurationFile.write("x", to: path)
        }
        #expect(error?.description == "\(path) is not a regular file")
        let missing = #expect(throws: ConfigurationFileError.self) {
            try ConfigurationFile.write("x", to: "/nonexistent/lan.toml")
        }
        #expect(missing?.description.contains("no such file or directory") == true)
        #expect(try names() == ["lan.toml"])
    }
}
