// The requests of set-up and of tearing down: armed once, then they answer many times.
//
// Each takes one submission entry and is submitted by the next `enter`. Where the queue is full,
// the request first submits what is staged (which may leave completions to reap); it fails only if
// the kernel takes nothing.

internal import CShimsRing

extension Ring {
    /// Receives datagrams into the buffers of a group, one completion each, until `hasMore` is
    /// missing.
    ///
    /// `result` is the datagram's real length, even where the buffer was too short for it.
    /// - Returns: `false` if the submission queue is full and stays so.
    public mutating func armReceive(
        fileSlot: Int, bufferGroup: UInt16, tag: CompletionTag
    ) -> Bool {
        guard let entry = nextEntry() else { return false }
        cshims_entry_write_receive(entry, UInt32(fileSlot), bufferGroup, tag.rawValue)
        return true
    }

    /// Asks once for any of `events` (poll(2) bits) of a registered file; the result is the ready
    /// mask.
    ///
    /// POLLOUT of a socket that is not full is answered at once: ask only after -EAGAIN.
    /// - Returns: `false` if the submission queue is full and stays so.
    public mutating func armPoll(fileSlot: Int, events: UInt32, tag: CompletionTag) -> Bool {
        guard let entry = nextEntry() else { return false }
        cshims_entry_write_poll(entry, UInt32(fileSlot), events, tag.rawValue)
        return true
    }

    /// Answers every signal of a wake, until `hasMore` is missing. Signals close together may share
    /// one completion; the wake needs no reading. A signal given before it is armed is answered
    /// too.
    /// - Returns: `false` if the submission queue is full and stays so.
    public mutating func armEventPoll(_ wake: Wake, tag: CompletionTag) -> Bool {
        guard let entry = nextEntry() else { return false }
        cshims_entry_write_event_poll(entry, wake.descriptor, tag.rawValue)
        return true
    }

    /// Cancels everything armed on a registered file: each answers -ECANCELED without `hasMore`,
    /// and `tag` answers how many there were (0 if none).
    ///
    /// The slot must still hold the file, else the answer is -EBADF and the requests stay armed.
    /// - Returns: `false` if the submission queue is full and stays so.
    public mutating func cancelAll(fileSlot: Int, tag: CompletionTag) -> Bool {
        guard let entry = nextEntry() else { return false }
        cshims_entry_write_cancel(entry, UInt32(fileSlot), tag.rawValue)
        return true
    }

    private mutating func nextEntry() -> UnsafeMutableRawPointer? {
        if let entry = submissions.next() { return entry }
        enter(waitingFor: 0, timeoutNanoseconds: nil)
        return submissions.next()
    }
}
