// Broken configurations by where a port's descriptor comes from.
// Each case has the text and everything the user is told.

extension BrokenConfiguration {
    /// `source` and `fd`.
    static let sources: [BrokenConfiguration] = [
        .inUnixgramPort(
            "a source that there is not",
            #"source = "handed""#,
            #"""
            lan.toml:4: port[1].source (port "vm1"): "handed" is not a source; allowed: \#
            "handover" or "inherit"
            """#),
        .inUnixgramPort(
            "keys that open what is passed",
            #"""
            source = "handover"
            path = "x.sock"
            mode = "0600"
            """#,
            #"""
            lan.toml:5: port[1].path (port "vm1"): says how to open what a port with source = \#
            "handover" is given open
            lan.toml:6: port[1].mode (port "vm1"): says how to open what a port with source = \#
            "handover" is given open
            """#),
        .inTAPPort(
            "a device that is passed and has a name",
            #"source = "handover""#,
            #"""
            lan.toml:4: port[1].device (port "host"): says how to open what a port with source = \#
            "handover" is given open
            """#),
        .whole(
            "a type that nobody can pass",
            #"""
            [[port]]
            name = "vm1"
            type = "vpnkit"
            source = "handover"

            """#,
            #"""
            lan.toml:4: port[1].source (port "vm1"): is not for vpnkit ports: they begin with a \#
            handshake; allowed: source on ports of type "unixgram", "stream", "seqpacket" or "tap"
            """#),
        .whole(
            "a shared path of two modes",
            #"""
            [port_defaults]
            type = "unixgram"
            path = "vms.sock"

            [[port]]
            name = "a"
            path = "vms.sock"
            shared = true

            [[port]]
            name = "b"
            path = "vms.sock"
            shared = true
            mode = "0600"

            """#,
            #"""
            lan.toml:3: port_defaults.path: cannot have a default: it differs from port to port; \#
            allowed: in [[port]]
            lan.toml:12: port[2].path (port "b"): the path "/run/ringswitch/vms.sock" is shared \#
            with port[1], which has another type, mode, owner or group; allowed: the same for all \#
            ports that share a path
            """#),
        .inUnixgramPort(
            "a number without an inheritance",
            "fd = 3",
            #"""
            lan.toml:4: port[1].fd (port "vm1"): says which descriptor is inherited, and the port \#
            inherits none; allowed: fd together with source = "inherit"
            """#),
        .inUnixgramPort(
            "a number that no descriptor has",
            #"""
            source = "inherit"
            fd = -1
            """#,
            #"""
            lan.toml:5: port[1].fd (port "vm1"): -1 is out of range; allowed: 0 to 1048576
            """#),
        .whole(
            "one descriptor for several ports",
            #"""
            [[port]]
            name = "vm{n}"
            count = 2
            type = "unixgram"
            source = "inherit"
            fd = 3

            """#,
            #"""
            lan.toml:6: port[1].fd (port "vm{n}"): the descriptor 3 would be that of several ports
            """#),
    ]
}
