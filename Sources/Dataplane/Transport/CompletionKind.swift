/// What a completion is about; the first field of its tag.
public enum CompletionKind {
    /// A multishot receive.
    public static let receive: UInt8 = 1
    /// A send that failed; the tag's slot is its place in the batch.
    public static let send: UInt8 = 2
    /// A socket that can be written to again.
    public static let writable: UInt8 = 3
    /// A cancellation.
    public static let cancel: UInt8 = 4
    /// Another thread called.
    public static let wake: UInt8 = 5
}
