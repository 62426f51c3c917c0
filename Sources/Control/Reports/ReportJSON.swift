public import Foundation

/// The one JSON dialect of reports: snake_case keys, ISO 8601 dates, keys sorted.
///
/// Keys of dictionaries (drop reasons) are data and pass unchanged. Sorted keys make two reports
/// comparable line by line.
public enum ReportJSON {
    /// How much white space the text gets.
    public enum Layout: Sendable {
        /// Many lines, for people.
        case indented
        /// One line, for a stream of reports.
        case line
    }

    /// The JSON text of `report`, without a line break at its end.
    public static func encode(_ report: some Encodable, layout: Layout = .indented) throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.dateEncodingStrategy = .iso8601
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if layout == .indented { encoder.outputFormatting.insert(.prettyPrinted) }
        return try encoder.encode(report)
    }

    /// Reads back what `encode` wrote; keys it does not know are skipped.
    public static func decode<Report: Decodable>(
        _ type: Report.Type, from json: Data
    ) throws -> Report {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        decoder.dateDecodingStrategy = .iso8601
        return try decoder.decode(type, from: json)
    }
}
