import Glibc

/// Seeds of randomised tests.
public enum Seeds {
    /// `count` seeds, 1 and up; or only the one in the environment variable RINGSWITCH_SEED,
    /// decimal, to repeat a failure.
    ///
    /// A randomised test states its seed in the comment of every expectation.
    public static func list(_ count: Int) -> [UInt64] {
        if let text = getenv("RINGSWITCH_SEED"), let seed = UInt64(String(cString: text)) {
            return [seed]
        }
        return (1...UInt64(count)).map { $0 }
    }
}
