/// A system call that failed: what was tried, and why the kernel refused.
///
/// `what` continues as a sentence: "cannot bind /tmp/x.sock" becomes
/// "cannot bind /tmp/x.sock: permission denied".
struct SystemFailure: Error, CustomStringConvertible {
    let what: String
    /// A positive errno.
    let code: Int32

    var description: String { "\(what): \(SystemText.reason(code))" }

    /// Passes a shim's result on, or throws what a negative one means.
    @discardableResult
    static func check(
        _ result: Int32, _ what: @autoclosure () -> String
    ) throws(SystemFailure) -> Int32 {
        if result < 0 { throw SystemFailure(what: what(), code: -result) }
        return result
    }
}
