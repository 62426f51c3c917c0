// One path for many peers: each takes a socket with it.
//
// A datagram socket that has been connected to its peer is lost for others, so before that another
// socket takes its place at the path: it is bound under a name beside it and renamed over it. The
// path leads to a listening socket at any moment, and who has found the former one keeps it: what a
// client is connected to is a socket, not a path.
internal import CShimsSystem
internal import Glibc

/// A socket that is connected to a listening one, as the kernel's table has it.
struct UnixgramClient: Sendable {
    /// Number of the socket.
    let inode: UInt32
    /// Its name, and the user who made it; the process is not told.
    let peer: UnixgramPeer

    /// Whether the socket still exists; true where the kernel does not tell.
    var exists: Bool {
        guard inode != 0 else { return peer.address.connectError != ECONNREFUSED }
        var diagnosis = cshims_unix_diagnosis()
        return cshims_unix_diagnose(inode, &diagnosis) != -ENOENT
    }
}

extension UnixgramAddress {
    /// What connect() of a throw-away socket says: EPERM means that the socket of this name is
    /// connected to another one, 0 that it is not connected.
    var connectError: Int32 {
        let probe = cshims_socket_create_unixgram()
        guard probe >= 0 else { return -probe }
        defer { _ = cshims_descriptor_close(probe) }
        var address = systemAddress
        return -cshims_socket_connect(probe, &address)
    }
}

extension UnixgramListener {
    /// What a successor is called until it takes its place.
    static let successionSuffix = ".new"

    /// A new listening socket at the path of a former one, which keeps what it has.
    static func succeed(
        at path: String, _ access: SocketAccess
    ) throws(PortError) -> UnixgramListener {
        let next = try listen(
            path: path + successionSuffix, mode: access.mode, owner: access.owner,
            group: access.group)
        guard rename(path + successionSuffix, path) == 0 else {
            let code = errno
            next.close()
            throw .system(operation: "take over", subject: path, code: code)
        }
        return next.moved(to: path)
    }

    /// Everybody who is connected to this socket; `nil` where the kernel does not tell.
    func census() -> [UnixgramClient]? {
        var own = cshims_unix_diagnosis()
        guard cshims_socket_diagnose(descriptor, &own) >= 0 else { return nil }
        var room = 64
        while true {
            var found = [cshims_unix_diagnosis](repeating: cshims_unix_diagnosis(), count: room)
            let count = Int(cshims_unix_find_clients(own.inode, &found, UInt32(room)))
            guard count >= 0 else { return nil }
            if count <= room {
                return found.prefix(count).map { client in
                    UnixgramClient(
                        inode: client.inode,
                        peer: UnixgramPeer(
                            address: UnixgramAddress(client.name), pid: nil,
                            uid: client.has_uid ? client.uid : nil, command: nil, process: nil))
                }
            }
            room = count * 2
        }
    }

    /// Datagrams of sources that are not known to be connected.
    struct Strangers {
        var counts = HandshakeCounts()
        /// Each once.
        var sources: [UnixgramPeer] = []
    }

    /// Reads what waits, and who sent it.
    func readStrangers() -> Strangers {
        var strangers = Strangers()
        var seen: Set<UnixgramAddress> = []
        var first = [UInt8](repeating: 0, count: 4)
        for _ in 0..<backlogMax {
            var received = cshims_datagram()
            guard cshims_socket_receive(descriptor, &first, first.count, &received) >= 0 else {
                break
            }
            let datagram = Datagram(received, passesProcesses: passesProcesses)
            if datagram.length == Self.magic.count, first == Self.magic {
                strangers.counts.magic += 1
            } else {
                strangers.counts.droppedBytes += datagram.length
                if datagram.length < Self.headerLength {
                    strangers.counts.runts += 1
                } else {
                    strangers.counts.foreign += 1
                }
            }
            if seen.insert(datagram.peer.address).inserted {
                strangers.sources.append(datagram.peer)
            }
        }
        return strangers
    }

    /// Takes a peer whose first datagram has been read already.
    func attachKnown(
        _ peer: UnixgramPeer, _ rules: HandshakeRules
    ) throws(PortError) -> HandshakeOutcome {
        var outcome = HandshakeOutcome()
        if let reason = refusal(of: peer, rules) ?? connectBack(to: peer) {
            report(reason, peer, &outcome)
            return outcome
        }
        var reader = DatagramReader(rules)
        try attach(peer, by: nil, rules, &reader, &outcome)
        return outcome
    }
}
