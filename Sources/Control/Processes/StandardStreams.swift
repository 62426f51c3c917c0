import Glibc

/// Descriptors 0, 1 and 2.
public enum StandardStreams {
    /// Opens /dev/null in the place of each standard stream that the process was started without.
    ///
    /// Else the next file or socket that is opened gets its number, and what is printed goes there.
    /// To be called before anything is opened.
    public static func fill() {
        for stream: Int32 in 0...2 where fcntl(stream, F_GETFD) < 0 {
            // open(2) gives the lowest number that is free, which is this one.
            _ = open("/dev/null", O_RDWR)
        }
    }
}
