import Glibc

/// What configuration takes from the process: who runs it and three variables.
///
/// It is a value so that the rules for root and for a user can both be tested by either.
public struct ConfigurationEnvironment: Equatable, Sendable {
    /// Effective user; 0 is root.
    public var userID: UInt32
    /// Environment variables; only `XDG_RUNTIME_DIR`, `XDG_CONFIG_HOME` and `HOME` are looked at.
    public var variables: [String: String]

    /// Describes a process of `userID` with these `variables`.
    public init(userID: UInt32, variables: [String: String] = [:]) {
        self.userID = userID
        self.variables = variables
    }

    /// The environment of this process, read anew at each call.
    public static var current: ConfigurationEnvironment {
        var variables: [String: String] = [:]
        for name in ["XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"] {
            if let value = getenv(name) { variables[name] = String(cString: value) }
        }
        return ConfigurationEnvironment(userID: geteuid(), variables: variables)
    }

    /// Runtime directory when the file names none.
    public var runtimeDirectory: String {
        if userID == 0 { return "/run/ringswitch" }
        if let directory = directory("XDG_RUNTIME_DIR") { return directory + "/ringswitch" }
        return "/tmp/ringswitch-\(userID)"
    }

    /// File that is read when the command line names none; `nil` for a user without a home.
    public var configurationFile: String? {
        if userID == 0 { return "/etc/ringswitch/ringswitch.toml" }
        let base = directory("XDG_CONFIG_HOME") ?? directory("HOME").map { $0 + "/.config" }
        return base.map { $0 + "/ringswitch/ringswitch.toml" }
    }

    /// The variable's value without slashes at its end, where it is an absolute path.
    ///
    /// The XDG base directory specification says that a relative path is to be ignored.
    private func directory(_ variable: String) -> String? {
        guard var path = variables[variable], path.hasPrefix("/") else { return nil }
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path == "/" ? "" : path
    }
}
