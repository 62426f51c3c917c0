// How an offload is written in configurations and reports.

internal import SwitchCore

extension Offload {
    /// The word of the configuration and of reports.
    var word: String {
        switch self {
        case .none: "none"
        case .vnet: "vnet"
        case .raw: "raw"
        }
    }
}
