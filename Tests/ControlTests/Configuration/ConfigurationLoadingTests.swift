import Glibc
import Testing

@testable import Control

/// Files of any bytes.
extension TemporaryDirectory {
    /// Writes a file and returns its path.
    fileprivate func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
        let file = "\(path)/\(name)"
        let stream = try #require(fopen(file, "w"))
        for byte in bytes { putc(Int32(byte), stream) }
        try #require(fclose(stream) == 0)
        return file
    }
}

private let onePort = "[[port]]\nname = \"vm1\"\ntype = \"unixgram\"\n"

private func load(_ file: String?) throws(ConfigurationErrors) -> Configuration {
    try Configuration.load(file: file, environment: rootEnvironment)
}

@Suite struct ConfigurationLoadingTests {
    @Test func `a named file is read`() throws {
        let scratch = TemporaryDirectory()
        let file = try scratch.write(onePort.utf8, to: "lan.toml")
        #expect(try load(file).ports.map(\.name) == ["vm1"])
        #expect(Configuration.source(file: file, environment: rootEnvironment) == file)
    }

    @Test func `a byte order mark and carriage returns do no harm`() throws {
        let scratch = TemporaryDirectory()
        let text = "\u{feff}" + (onePort + "mode = 1\n").replacing("\n", with: "\r\n")
        let file = try scratch.write(text.utf8, to: "lan.toml")
        let errors = #expect(throws: ConfigurationErrors.self) { try load(file) }
        #expect(errors?.errors.map(\.line) == [4])
    }

    @Test func `a named file that is not there is an error`() throws {
        let scratch = TemporaryDirectory()
        let file = "\(scratch.path)/lan.toml"
        let errors = #expect(throws: ConfigurationErrors.self) { try load(file) }
        #expect(errors?.description == "\(file): cannot be read: No such file or directory")
    }

    @Test func `a directory is an error`() throws {
        let scratch = TemporaryDirectory()
        let directory = scratch.path
        let errors = #expect(throws: ConfigurationErrors.self) { try load(directory) }
        #expect(errors?.description == "\(directory): cannot be read: Is a directory")
    }

    @Test(.enabled(if: geteuid() != 0, "root may read everything"))
    func `a file without permission is an error`() throws {
        let scratch = TemporaryDirectory()
        let file = try scratch.write(onePort.utf8, to: "lan.toml")
        chmod(file, 0)
        let errors = #expect(throws: ConfigurationErrors.self) { try load(file) }
        #expect(errors?.description == "\(file): cannot be read: Permission denied")
    }

    @Test func `an empty file is an error`() throws {
        let scratch = TemporaryDirectory()
        let file = try scratch.write([], to: "lan.toml")
        let errors = #expect(throws: ConfigurationErrors.self) { try load(file) }
        #expect(
            errors?.description
                == "\(file): port: there is no port; allowed: at least one [[port]] table")
    }

    @Test func `bytes that are no UTF-8 are an error with a line`() throws {
        let scratch = TemporaryDirectory()
        let file = try scratch.write([UInt8]("# é\n#".utf8) + [0xe9, 0x0a], to: "lan.toml")
        let errors = #expect(throws: ConfigurationErrors.self) { try load(file) }
        #expect(errors?.description == "\(file):2: not valid UTF-8")
    }

    @Test func `a file without end is an error`() {
        let errors = #expect(throws: ConfigurationErrors.self) { try load("/dev/zero") }
        #expect(errors?.description == "/dev/zero: cannot be read: it is larger than 4MiB")
    }

    @Test func `a user's file is found in the usual place`() throws {
        let scratch = TemporaryDirectory()
        let environment = ConfigurationEnvironment(
            userID: 1000, variables: ["XDG_CONFIG_HOME": scratch.path + "/"])
        #expect(Configuration.source(file: nil, environment: environment) == nil)
        #expect(
            try Configuration.load(file: nil, environment: environment).ports.count == 4)

        mkdir("\(scratch.path)/ringswitch", 0o700)
        let file = try scratch.write(onePort.utf8, to: "ringswitch/ringswitch.toml")
        #expect(Configuration.source(file: nil, environment: environment) == file)
        #expect(
            try Configuration.load(file: nil, environment: environment).ports.map(\.name)
                == ["vm1"])
    }

    @Test func `root and users have their own places`() {
        let root = ConfigurationEnvironment(
            userID: 0, variables: ["XDG_RUNTIME_DIR": "/run/user/0", "HOME": "/root"])
        #expect(root.runtimeDirectory == "/run/ringswitch")
        #expect(root.configurationFile == "/etc/ringswitch/ringswitch.toml")

        let user = ConfigurationEnvironment(
            userID: 1000, variables: ["XDG_RUNTIME_DIR": "/run/user/1000/", "HOME": "/home/a"])
        #expect(user.runtimeDirectory == "/run/user/1000/ringswitch")
        #expect(user.configurationFile == "/home/a/.config/ringswitch/ringswitch.toml")

        let bare = ConfigurationEnvironment(
            userID: 1000, variables: ["XDG_RUNTIME_DIR": "", "XDG_CONFIG_HOME": "relative"])
        #expect(bare.runtimeDirectory == "/tmp/ringswitch-1000")
        #expect(bare.configurationFile == nil)
    }

    @Test func `without a file there are four ports in the runtime directory`() throws {
        let user = ConfigurationEnvironment(userID: 1000)
        let configuration = Configuration.defaults(environment: user)
        let text = #"port = [{ name = "vm{n}", count = 4, type = "unixgram" }]"#
        let written = try Configuration.parse(text: text, fileName: "-", environment: user)
        #expect(configuration == written)
        guard case .unixgram(let socket) = configuration.ports[3].kind else { return }
        #expect(socket.path == "/tmp/ringswitch-1000/vm4.sock")
    }
}
