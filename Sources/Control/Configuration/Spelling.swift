/// Finds the word that was meant.
enum Spelling {
    /// The candidate nearest to `word`, where one is near enough to be meant: at most one change
    /// for each three letters. Upper case and hyphens are no changes.
    static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        let typed = Array(word.lowercased().replacing("-", with: "_"))
        var best: (distance: Int, candidate: String)?
        for candidate in candidates {
            let distance = distance(typed, Array(candidate))
            if distance < best?.distance ?? Int.max { best = (distance, candidate) }
        }
        guard let best, best.distance <= min(3, max(1, typed.count / 3)) else { return nil }
        return best.candidate
    }

    /// Changes between the two: letters put in, left out, replaced, or swapped with a neighbour
    /// (optimal string alignment distance).
    private static func distance(_ left: [Character], _ right: [Character]) -> Int {
        if left.isEmpty || right.isEmpty { return max(left.count, right.count) }
        var rows = [Array(0...right.count)]
        for i in 1...left.count {
            var row = [i]
            for j in 1...right.count {
                let replaced = rows[i - 1][j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1)
                var cost = min(rows[i - 1][j] + 1, row[j - 1] + 1, replaced)
                if i > 1, j > 1, left[i - 1] == right[j - 2], left[i - 2] == right[j - 1] {
                    cost = min(cost, rows[i - 2][j - 2] + 1)
                }
                row.append(cost)
            }
            rows.append(row)
        }
        return rows[left.count][right.count]
    }
}
