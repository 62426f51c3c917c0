/// Rows of text in aligned columns, two spaces apart, no trailing blanks.
///
/// Cells are printed as they are given: escape foreign strings first (`terminalSafe`).
struct TextTable {
    enum Alignment { case left, right }

    private let alignments: [Alignment]
    private var rows: [[String]]

    /// A table whose first line is `titles`.
    init(_ columns: [(title: String, alignment: Alignment)]) {
        alignments = columns.map(\.alignment)
        rows = [columns.map(\.title)]
    }

    /// Appends a row of as many cells as there are columns.
    mutating func append(_ cells: [String]) {
        precondition(cells.count == alignments.count, "a row has one cell a column")
        rows.append(cells)
    }

    /// The table's lines, titles first.
    var lines: [String] {
        let widths = alignments.indices.map { column in
            rows.map { $0[column].count }.max() ?? 0
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                line += alignments[column] == .left ? cell + padding : padding + cell
                line += "  "
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
