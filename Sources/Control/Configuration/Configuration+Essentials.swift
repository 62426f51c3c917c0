// From a configuration to as little text as gives it: what is not as it would be by default. `save`
// writes it, and changes of single ports build on it: a default that follows from another key, such
// as max_frame from mtu, goes on following.

extension Configuration {
    /// The configuration as TOML without the keys that have their default; reading it gives an
    /// equal value.
    public func essentials(environment: ConfigurationEnvironment = .current) -> String {
        var text = "# The configuration of a running switch, as `ringswitch save` writes it.\n"
        let own = SwitchSettings(self)
        let defaults = SwitchSettings(Configuration(SwitchSettings(), environment: environment))
        let keys = ConfigurationSchema.switchKeys.filter { $0.literal(own) != $0.literal(defaults) }
        if !keys.isEmpty { text += "\n[switch]\n" }
        for key in keys { text += "\(key.name) = \(key.literal(own) ?? "")\n" }
        for port in ports {
            text += "\n[[port]]\n"
            for (name, literal) in essentials(of: port) { text += "\(name) = \(literal)\n" }
        }
        return text
    }

    /// Keys of a port that are not as they would be by default, with their values in TOML.
    func essentials(of port: PortConfiguration) -> [(name: String, literal: String)] {
        var settings = PortSettings(port)
        let directory = runtimeDirectory + "/"
        if let path = settings.path, path.hasPrefix(directory) {
            let relative = String(path.dropFirst(directory.count))
            settings.path = relative == port.name + ".sock" ? nil : relative
        }
        if let connect = settings.connect, connect.hasPrefix(directory) {
            settings.connect = String(connect.dropFirst(directory.count))
        }
        return ConfigurationSchema.portKeys.compactMap { key in
            guard let literal = key.literal(settings) else { return nil }
            var without = settings
            key.clear(&without)
            without.fillDefaults()
            return key.literal(without) == literal ? nil : (key.name, literal)
        }
    }
}
