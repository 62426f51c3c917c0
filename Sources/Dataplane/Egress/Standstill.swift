/// For how long a port has taken nothing although it was asked; owned by one worker.
struct Standstill {
    /// What the port had taken when it refused for the first time since.
    private var sentFrames = UInt64.max
    private var since: UInt64 = 0

    /// Notes a refusal.
    /// - Parameter sentFrames: the frames that the port ever took.
    mutating func noteRefusal(sentFrames: UInt64, now: UInt64) {
        guard sentFrames != self.sentFrames else { return }
        self.sentFrames = sentFrames
        since = now
    }

    /// Whether nothing was taken for `nanoseconds` or longer.
    func hasLasted(_ nanoseconds: UInt64, sentFrames: UInt64, now: UInt64) -> Bool {
        sentFrames == self.sentFrames && now &- since >= nanoseconds
    }
}
