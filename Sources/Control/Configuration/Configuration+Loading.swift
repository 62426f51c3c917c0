import Glibc

// From a file, or none, to a configuration: which file is read, and what can be wrong with it as a
// file. What is wrong with its contents is for `ConfigurationDecoder` to say.

extension Configuration {
    /// Reads a configuration from a file, from the usual place, or takes the defaults.
    ///
    /// - Parameter file: the file that the user named; `nil` for the usual place, where there may
    ///   be none.
    /// - Throws: everything that is wrong: a named file that cannot be read, text that is no UTF-8
    ///   or no TOML, or every error of its contents at once.
    public static func load(
        file: String?, environment: ConfigurationEnvironment = .current
    ) throws(ConfigurationErrors) -> Configuration {
        guard let path = source(file: file, environment: environment) else {
            return defaults(environment: environment)
        }
        return try parse(text: try read(path), fileName: path, environment: environment)
    }

    /// The file that `load` reads; `nil` where it takes the defaults.
    public static func source(
        file: String?, environment: ConfigurationEnvironment = .current
    ) -> String? {
        if let file { return file }
        guard let usual = environment.configurationFile else { return nil }
        // A file that is there and cannot be read is for `load` to complain about.
        let code = usual.withCString { access($0, F_OK) == 0 ? 0 : errno }
        return code == ENOENT || code == ENOTDIR ? nil : usual
    }

    /// Reads a configuration from `text`; `fileName` stands for it in errors.
    public static func parse(
        text: String, fileName: String, environment: ConfigurationEnvironment = .current
    ) throws(ConfigurationErrors) -> Configuration {
        try ConfigurationDecoder.decode(text, file: fileName, environment: environment)
    }

    /// What the switch does without a file: four unixgram ports, vm1 to vm4, in the runtime
    /// directory.
    public static func defaults(
        environment: ConfigurationEnvironment = .current
    ) -> Configuration {
        var configuration = Configuration(SwitchSettings(), environment: environment)
        configuration.ports = (1...4).map { number in
            var settings = PortSettings()
            settings.name = "vm\(number)"
            settings.type = .unixgram
            settings.path = "\(configuration.runtimeDirectory)/vm\(number).sock"
            settings.fillDefaults()
            return PortConfiguration(resolved: settings)
        }
        return configuration
    }

    /// Largest file that is read, in bytes; a thousand ports need a tenth of it.
    private static let fileLimit = 4 << 20

    private static func read(_ path: String) throws(ConfigurationErrors) -> String {
        let bytes: [UInt8]
        switch contents(of: path) {
        case .success(let read): bytes = read
        case .failure(let failure):
            throw ConfigurationErrors(file: path, "cannot be read: \(failure.reason)")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ConfigurationErrors(file: path, line: lineOfBadUTF8(bytes), "not valid UTF-8")
        }
        return text
    }

    private struct ReadFailure: Error {
        let reason: String

        init(_ reason: String) { self.reason = reason }
        init(code: Int32) { reason = String(cString: strerror(code)) }
    }

    private static func contents(of path: String) -> Result<[UInt8], ReadFailure> {
        // errno is read inside the closures: nothing may run between the call and that.
        let descriptor = path.withCString { path in
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            return descriptor >= 0 ? descriptor : -errno
        }
        guard descriptor >= 0 else { return .failure(ReadFailure(code: -descriptor)) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= fileLimit {
            let count = chunk.withUnsafeMutableBytes { buffer in
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                return count >= 0 ? count : -Int(errno)
            }
            if count == -Int(EINTR) { continue }
            guard count >= 0 else { return .failure(ReadFailure(code: Int32(-count))) }
            if count == 0 { return .success(bytes) }
            bytes += chunk[..<count]
        }
        return .failure(ReadFailure("it is larger than \(ByteSize.format(fileLimit))"))
    }

    /// Line, from 1, of the first byte that is not part of a character.
    private static func lineOfBadUTF8(_ bytes: [UInt8]) -> Int {
        var line = 1
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        while case .scalarValue(let scalar) = decoder.decode(&iterator) {
            if scalar == "\n" { line += 1 }
        }
        return line
    }
}
