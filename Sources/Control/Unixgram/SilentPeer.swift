// The peer that is connected to a listening port and has nothing to say.
//
// A send to a dead peer fails, and with that the kernel dissolves the connection
// (net/unix/af_unix.c: unix_dgram_sendmsg): whoever connects next is let in, while the data plane
// still reads and Control does not know yet. The newcomer's "VFKT" is then dropped as a runt, or
// with what its predecessor left. It believes to be attached, and libkrun never greets twice: a
// guest that only waits to be spoken to would wait for ever.
//
// So once a port listens again its clients are looked for in the kernel's socket table (sock_diag),
// which tells their name and the user who made the socket, though not the process. One alone is
// connected back to as after a handshake. Which of several has lost its greeting nobody can tell:
// there the first one to send a frame is taken, as ever. Not found are sockets of other network
// namespaces; they are taken by their first frame.
//
// The socket that was let go last is no newcomer if it still exists: whatever was wrong with it
// would be so again at once, and again. It has to send a frame.
internal import CShimsSystem

extension UnixgramListener {
    /// Clients of one port that are told apart; more than one is too many already.
    private static let clientsMax = 8

    /// Does what `accept` does; where that attaches nobody, looks for a peer that is connected and
    /// silent. Call it once, a little after `listenAgain`: who is about to send his first datagram
    /// tells more by it.
    /// - Throws: only what says that the socket itself is unusable.
    public func acceptSilent(_ rules: HandshakeRules) throws(PortError) -> HandshakeOutcome {
        var outcome = try accept(rules)
        guard outcome.attachment == nil else { return outcome }
        let candidates = clients().filter { client in
            guard let reason = refusal(of: client.peer, rules) else { return true }
            report(reason, client.peer, &outcome)
            return false
        }
        guard let client = candidates.first, candidates.count == 1 else {
            for client in candidates { report(.silentAmongOthers, client.peer, &outcome) }
            return outcome
        }
        var reader = DatagramReader(rules)
        if let reason = connectBack(to: client.peer) ?? mistake(for: client) {
            report(reason, client.peer, &outcome)
            if reason == .pathLeadsElsewhere { try leave(&reader, &outcome.counts) }
        } else {
            try attach(client.peer, by: nil, rules, &reader, &outcome)
        }
        return outcome
    }

    private struct Client {
        let inode: UInt32
        let peer: UnixgramPeer
    }

    /// Sockets that are connected to this one; none where the kernel does not tell.
    private func clients() -> [Client] {
        var own = cshims_unix_diagnosis()
        guard cshims_socket_diagnose(descriptor, &own) >= 0 else { return [] }
        var found = [cshims_unix_diagnosis](
            repeating: cshims_unix_diagnosis(), count: Self.clientsMax)
        let count = cshims_unix_find_clients(own.inode, &found, UInt32(found.count))
        return found.prefix(Int(max(0, count))).filter { $0.inode != formerPeer }.map {
            Client(
                inode: $0.inode,
                peer: UnixgramPeer(
                    address: UnixgramAddress($0.name), pid: nil, uid: $0.has_uid ? $0.uid : nil,
                    command: nil, process: nil))
        }
    }

    /// A socket of the same name may have been reached instead, whose user nobody has looked at.
    private func mistake(for client: Client) -> HandshakeRefusal.Reason? {
        var own = cshims_unix_diagnosis()
        guard cshims_socket_diagnose(descriptor, &own) >= 0, own.peer_inode == client.inode
        else { return .pathLeadsElsewhere }
        return nil
    }
}
