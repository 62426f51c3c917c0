// Broken configurations of ports that have connections.
// Each case has the text and everything the user is told.

extension BrokenConfiguration {
    /// Keys of `stream`, `seqpacket` and `vpnkit` ports, and what goes with `connect`.
    static let streamPorts: [BrokenConfiguration] = [
        .whole(
            "a port that connects and listens",
            #"""
            [[port]]
            name = "a"
            type = "stream"
            connect = "x.sock"
            path = "a.sock"
            mode = "0600"
            """#,
            #"""
            lan.toml:5: port[1].path (port "a"): is for ports that listen, and connect makes this \#
            one connect
            lan.toml:6: port[1].mode (port "a"): is for ports that listen, and connect makes this \#
            one connect
            """#),
        .whole(
            "a path shared by different types, and with a port that does not share",
            #"""
            [[port]]
            name = "b"
            type = "stream"
            path = "s.sock"
            shared = true
            [[port]]
            name = "c"
            type = "seqpacket"
            path = "s.sock"
            shared = true
            [[port]]
            name = "d"
            type = "stream"
            path = "s.sock"
            """#,
            #"""
            lan.toml:9: port[2].path (port "c"): the path "/run/ringswitch/s.sock" is shared with \#
            port[1], which has another type, mode, owner or group; allowed: the same for all \#
            ports \#
            that share a path
            lan.toml:14: port[3].path (port "d"): the path "/run/ringswitch/s.sock" is already \#
            that of port[1] (line 1)
            """#),
        .whole(
            "a vpnkit port that is to do what others can",
            #"""
            [[port]]
            name = "e"
            type = "vpnkit"
            max_frame = 65550
            offload = "raw"
            connect = "y"
            """#,
            #"""
            lan.toml:4: port[1].max_frame (port "e"): max_frame 65550 does not fit a length of 16 \#
            bits; allowed: at most 65535 on a vpnkit port
            lan.toml:5: port[1].offload (port "e"): "raw" is not for vpnkit ports; allowed: \#
            "none" \#
            there
            lan.toml:6: port[1].connect (port "e"): is a key of unixgram, stream and seqpacket \#
            ports, not of vpnkit ports
            """#),
        .whole(
            "keys of ports that listen, and of ports that connect, on unixgram ports",
            #"""
            [[port]]
            name = "f"
            type = "unixgram"
            vfkit_magic = false

            [[port]]
            name = "g"
            type = "unixgram"
            connect = "peer.sock"
            shared = true
            """#,
            #"""
            lan.toml:4: port[1].vfkit_magic (port "f"): is for a port that connects; allowed: \#
            with connect
            lan.toml:10: port[2].shared (port "g"): is for ports that listen, and connect makes \#
            this one connect
            """#),
        .whole(
            "several ports on a path that is not shared",
            #"""
            [[port]]
            name = "g-{n}"
            count = 2
            type = "stream"
            path = "g.sock"
            """#,
            #"""
            lan.toml:5: port[1].path (port "g-{n}"): "g.sock" has no {n}, which count needs to \#
            number the ports; allowed: {n}, or shared = true
            """#),
    ]
}
