/// The version of the program, as `--version`, `status` and the metrics tell it.
public enum Version {
    /// Semantic version: the command line, the configuration and the JSON keys are its interface.
    public static let current = "0.1.0"
}
