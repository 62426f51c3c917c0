// The handshake of a unixgram port.
//
// Theory of operation. A peer makes itself known by its first datagram: "VFKT" of exactly four
// bytes (libkrun, krunkit, vfkit) or a frame (QEMU). The steps, whose order matters:
//
//   1. recvmsg: source address, credentials, pidfd. Less than 14 bytes and not the magic: a runt,
//      and the next datagram decides.
//   2. Refuse a source that is unbound (nobody could answer it) or whose user is not allowed.
//   3. connect() back. From here on the kernel lets nobody but the peer send.
//   4. SO_PASSPIDFD off: each datagram read with it on would install a descriptor.
//   5. Read what other sources had queued before step 3, at most `backlogMax` datagrams: count it
//      as foreign, keep the peer's frames in order. What the peer sends meanwhile may stay in the
//      socket, so a flood cannot hold this loop.
//   6. SO_PASSCRED off, the send buffer set.
//
// Only then does the data plane get the kept frames, and only then does it arm its receives: so
// frames stay in order, and no stranger's frame ever reaches it.
//
// A first connect() of an unconnected socket keeps the queue (net/unix/af_unix.c). The
// path in the source address is the peer's choice: it may have put a link to somebody else's socket
// there. So the name of the socket that was reached is compared with the one that sent.
//
// A peer whose first datagram is lost is found without one (SilentPeer.swift).
internal import CShimsSystem
internal import Glibc

extension UnixgramListener {
    /// Datagrams that one call looks at in vain; the rest waits for the next call.
    private static let attemptsMax = 64
    /// Refusals told between two attachments: beyond, they are only counted.
    private static let reportedRefusalsMax = 16
    /// Bytes of frames kept for the worker.
    private static let keptBytesMax = 4 << 20
    /// What libkrun and vfkit send first (vfkit: pkg/vf/virtionet.go).
    static let magic: [UInt8] = Array("VFKT".utf8)
    /// Octets of the shortest frame: an Ethernet header (IEEE 802.3, 3.1.1).
    static let headerLength = 14

    /// Reads what waits in the socket until a peer is attached, nothing is left, or 64 datagrams
    /// have led nowhere. Call it whenever the socket is readable and listening.
    /// - Throws: only what says that the socket itself is unusable.
    public func accept(_ rules: HandshakeRules) throws(PortError) -> HandshakeOutcome {
        var outcome = HandshakeOutcome()
        var reader = DatagramReader(rules)
        for _ in 0..<Self.attemptsMax {
            guard let first = try read(&reader) else { break }
            guard first.length >= Self.headerLength || isMagic(first, reader) else {
                outcome.counts.runts += 1
                outcome.counts.droppedBytes += first.length
                continue
            }
            if let reason = refusal(of: first.peer, rules) ?? connectBack(to: first.peer) {
                countStranger(first, reader, &outcome.counts)
                report(reason, first.peer, &outcome)
                if reason == .pathLeadsElsewhere { try leave(&reader, &outcome.counts) }
                continue
            }
            try attach(first.peer, by: first, rules, &reader, &outcome)
            break
        }
        return outcome
    }

    // MARK: Deciding

    private func isMagic(_ datagram: Datagram, _ reader: DatagramReader) -> Bool {
        datagram.length == Self.magic.count && reader.starts(with: Self.magic)
    }

    func refusal(
        of peer: UnixgramPeer, _ rules: HandshakeRules
    ) -> HandshakeRefusal.Reason? {
        if peer.address.isUnbound { return .unbound }
        if let expected = rules.expected, peer.address != expected { return .notConnected }
        if rules.allowUIDs.isEmpty { return nil }
        guard let uid = peer.uid else { return .userUnknown }
        return rules.allowUIDs.contains(uid) ? nil : .userNotAllowed(rules.allowUIDs)
    }

    func connectBack(to peer: UnixgramPeer) -> HandshakeRefusal.Reason? {
        var address = peer.address.systemAddress
        let result = cshims_socket_connect(descriptor, &address)
        guard result >= 0 else { return .connectBack(-result) }
        var reached = cshims_unix_address()
        guard cshims_socket_peer_name(descriptor, &reached) >= 0,
            UnixgramAddress(reached) == peer.address
        else { return .pathLeadsElsewhere }
        return nil
    }

    /// Leaves a socket that was reached by mistake. The kernel throws the queue away with the
    /// connection, so what waits there is read and counted first.
    func leave(
        _ reader: inout DatagramReader, _ counts: inout HandshakeCounts
    ) throws(PortError) {
        for _ in 0...backlogMax {
            guard let next = try read(&reader) else { break }
            countStranger(next, reader, &counts)
        }
        let result = cshims_socket_disconnect(descriptor)
        guard result >= 0 else {
            throw .system(operation: "disconnect", subject: path, code: -result)
        }
    }

    func report(
        _ reason: HandshakeRefusal.Reason, _ peer: UnixgramPeer, _ outcome: inout HandshakeOutcome
    ) {
        guard reportedRefusals.count < Self.reportedRefusalsMax else { return }
        let refusal = HandshakeRefusal(
            reason: reason, address: peer.address, uid: peer.uid, summary: peer.summary)
        if reportedRefusals.insert(refusal).inserted { outcome.refusals.append(refusal) }
    }

    private func countStranger(
        _ datagram: Datagram, _ reader: DatagramReader, _ counts: inout HandshakeCounts
    ) {
        if isMagic(datagram, reader) {
            counts.magic += 1
            return
        }
        counts.droppedBytes += datagram.length
        if datagram.length < Self.headerLength { counts.runts += 1 } else { counts.foreign += 1 }
    }

    // MARK: Attaching

    /// Takes the peer that has been connected back to, steps 4 to 6.
    /// - Parameter first: its first datagram, still in the reader; `nil` for one that sent none.
    func attach(
        _ peer: UnixgramPeer, by first: Datagram?, _ rules: HandshakeRules,
        _ reader: inout DatagramReader, _ outcome: inout HandshakeOutcome
    ) throws(PortError) {
        _ = cshims_socket_set_pass_pidfd(descriptor, false)
        var usedMagic = false
        var frames: [[UInt8]] = []
        var keptBytes = 0
        if let first {
            usedMagic = isMagic(first, reader)
            keep(first, rules, reader, &frames, &keptBytes, &outcome.counts)
        }
        for _ in 0...backlogMax {
            guard let next = try read(&reader) else { break }
            if next.peer.address == peer.address {
                keep(next, rules, reader, &frames, &keptBytes, &outcome.counts)
            } else {
                countStranger(next, reader, &outcome.counts)
                if outcome.foreignPeer == nil { outcome.foreignPeer = next.peer }
            }
        }
        _ = cshims_socket_set_pass_credentials(descriptor, false)
        let effective = try setSendBuffer(rules.sendBuffer)
        outcome.attachment = UnixgramAttachment(
            peer: peer, usedMagic: usedMagic, frames: frames,
            effectiveSendBuffer: effective,
            warnings: warnings(asked: rules.sendBuffer, effective: effective, usedMagic: usedMagic))
        reportedRefusals.removeAll()
    }

    private func keep(
        _ datagram: Datagram, _ rules: HandshakeRules, _ reader: DatagramReader,
        _ frames: inout [[UInt8]], _ keptBytes: inout Int, _ counts: inout HandshakeCounts
    ) {
        if isMagic(datagram, reader) {
            counts.magic += 1
            return
        }
        if datagram.length < Self.headerLength {
            counts.runts += 1
        } else if datagram.length > rules.frameLengthMax {
            counts.oversize += 1
        } else if keptBytes + datagram.length > Self.keptBytesMax {
            counts.handoverFull += 1
        } else {
            keptBytes += datagram.length
            frames.append(reader.bytes(datagram.length))
            return
        }
        counts.droppedBytes += datagram.length
    }

    /// Asks for a send buffer and returns what the kernel grants.
    func setSendBuffer(_ asked: Int) throws(PortError) -> Int {
        // SO_SNDBUF doubles its value (socket(7)): half of what is wanted is what to set.
        let effective = cshims_socket_set_send_buffer(descriptor, Int64(asked + 1) / 2)
        guard effective >= 0 else {
            let code = Int32(-effective)
            throw .system(operation: "set the send buffer of", subject: path, code: code)
        }
        return Int(effective)
    }

    func warnings(asked: Int, effective: Int, usedMagic: Bool) -> [UnixgramWarning] {
        var warnings: [UnixgramWarning] = []
        if effective < asked { warnings.append(.sendBuffer(asked: asked, effective: effective)) }
        // The limit is the peer's socket's, sampled when it was made: the value of now is the best
        // guess.
        if let limit = SystemText.limit("net/unix/max_dgram_qlen"),
            limit + 1 < UnixgramWarning.queueLengthMin, !(peerConnects ?? usedMagic)
        {
            warnings.append(.queueLength(frames: limit + 1))
        }
        return warnings
    }

    /// Whether the peer's socket is connected (to this one: else connect() had been refused).
    private var peerConnects: Bool? {
        var own = cshims_unix_diagnosis()
        var other = cshims_unix_diagnosis()
        guard cshims_socket_diagnose(descriptor, &own) >= 0, own.peer_inode != 0,
            cshims_unix_diagnose(own.peer_inode, &other) >= 0
        else { return nil }
        return other.has_peer
    }

    // MARK: Reading

    /// One datagram and who sent it; its bytes are in the reader. `nil`: nothing waits.
    private func read(_ reader: inout DatagramReader) throws(PortError) -> Datagram? {
        var received = cshims_datagram()
        let result = reader.receive(descriptor, &received)
        switch result {
        case 0...: return Datagram(received, passesProcesses: passesProcesses)
        case -Int64(EAGAIN): return nil
        default: throw .system(operation: "receive on", subject: path, code: Int32(-result))
        }
    }
}
