// Broken configurations by a key of a unixgram port.
// Each case has the text and everything the user is told.

extension BrokenConfiguration {
    /// Keys of `unixgram` ports.
    static let unixgramPorts: [BrokenConfiguration] = [
        .inUnixgramPort(
            "an empty path",
            #"path = """#,
            #"""
            lan.toml:4: port[1].path (port "vm1"): is empty; allowed: the path of a file, of at \#
            most 107 bytes with runtime_dir
            """#),
        .inUnixgramPort(
            "the path of a directory",
            #"path = "sockets/""#,
            #"""
            lan.toml:4: port[1].path (port "vm1"): "sockets/" names no file; allowed: the path of \#
            a file, of at most 107 bytes with runtime_dir
            """#),
        .inUnixgramPort(
            "a path with a line end",
            #"path = "vm\n1.sock""#,
            #"""
            lan.toml:4: port[1].path (port "vm1"): "vm\n1.sock" holds a control character; \#
            allowed: the path of a file, of at most 107 bytes with runtime_dir
            """#),
        .inUnixgramPort(
            "a path that is a list",
            #"path = ["vm1.sock"]"#,
            #"""
            lan.toml:4: port[1].path (port "vm1"): must be a path, not an array; allowed: the \#
            path of a file, of at most 107 bytes with runtime_dir
            """#),
        .inUnixgramPort(
            "a path longer than a socket's may be",
            #"""
            path = \#
            "/pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp\#
            ppppppppppppppppppppppp"
            """#,
            #"""
            lan.toml:4: port[1].path (port "vm1"): \#
            "/pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp\#
            ppppppppppppppppppppppp" is 108 bytes long; allowed: at most 107, as for every Unix \#
            socket
            """#),
        .inUnixgramPort(
            "the same path twice in two spellings",
            #"""
            path = "a.sock"

            [[port]]
            name = "vm2"
            type = "unixgram"
            path = "/run/ringswitch/./a.sock"
            """#,
            #"""
            lan.toml:9: port[2].path (port "vm2"): the path "/run/ringswitch/a.sock" is already \#
            that of port[1] (line 1)
            """#),
        .whole(
            "a path that is another port's default",
            #"""
            [[port]]
            name = "vm1"
            type = "unixgram"

            [[port]]
            name = "vm2"
            type = "unixgram"
            path = "vm1.sock"

            """#,
            #"""
            lan.toml:8: port[2].path (port "vm2"): the path "/run/ringswitch/vm1.sock" is already \#
            that of port[1] (line 1)
            """#),
        .inUnixgramPort(
            "a path of the switch itself",
            #"path = "control.sock""#,
            #"""
            lan.toml:4: port[1].path (port "vm1"): "/run/ringswitch/control.sock" belongs to the \#
            switch itself; allowed: any file but lock, control.sock, handover.sock, control.new, \#
            handover.new in runtime_dir
            """#),
        .whole(
            "a name that leads to a path of the switch itself",
            #"""
            [[port]]
            name = "handover"
            type = "unixgram"

            """#,
            #"""
            lan.toml:1: port[1].path (port "handover"): "/run/ringswitch/handover.sock" belongs \#
            to the switch itself; allowed: any file but lock, control.sock, handover.sock, \#
            control.new, handover.new in runtime_dir
            """#),
        .inUnixgramPort(
            "a mode that is no octal number",
            #"mode = "0689""#,
            #"""
            lan.toml:4: port[1].mode (port "vm1"): "0689" is not a mode of a file; allowed: an \#
            octal string from "0000" to "0777", such as "0660"
            """#),
        .inUnixgramPort(
            "a mode that is too large",
            #"mode = "1777""#,
            #"""
            lan.toml:4: port[1].mode (port "vm1"): "1777" is not a mode of a file; allowed: an \#
            octal string from "0000" to "0777", such as "0660"
            """#),
        .inUnixgramPort(
            "a mode that is an integer",
            "mode = 660",
            #"""
            lan.toml:4: port[1].mode (port "vm1"): must be a mode, not the integer 660; allowed: \#
            an octal string from "0000" to "0777", such as "0660"; did you mean "0660"?
            """#),
        .inUnixgramPort(
            "a mode that is an octal integer",
            "mode = 0o660",
            #"""
            lan.toml:4: port[1].mode (port "vm1"): must be a mode, not the integer 432; allowed: \#
            an octal string from "0000" to "0777", such as "0660"; did you mean "0660"?
            """#),
        .inUnixgramPort(
            "a user that does not exist",
            #"owner = "no-such-user""#,
            #"""
            lan.toml:4: port[1].owner (port "vm1"): there is no user "no-such-user"; allowed: the \#
            name of a user of this machine, or a number
            """#),
        .inUnixgramPort(
            "a group that does not exist",
            #"group = "no-such-group""#,
            #"""
            lan.toml:4: port[1].group (port "vm1"): there is no group "no-such-group"; allowed: \#
            the name of a group of this machine, or a number
            """#),
        .inUnixgramPort(
            "an owner that is negative",
            "owner = -1",
            #"""
            lan.toml:4: port[1].owner (port "vm1"): -1 is out of range; allowed: the name of a \#
            user of this machine, or a number
            """#),
        .inUnixgramPort(
            "an owner that is a boolean",
            "owner = true",
            #"""
            lan.toml:4: port[1].owner (port "vm1"): must be a user, not the boolean true; \#
            allowed: the name of a user of this machine, or a number
            """#),
        .inUnixgramPort(
            "allowed users that are no list",
            #"allow_uids = "root""#,
            #"""
            lan.toml:4: port[1].allow_uids (port "vm1"): must be a list, not the string "root"; \#
            allowed: a list in brackets, each the name of a user of this machine, or a number
            """#),
        .inUnixgramPort(
            "allowed users that do not exist or are there twice",
            #"allow_uids = [0, "no-such-user", "root"]"#,
            #"""
            lan.toml:4: port[1].allow_uids[2] (port "vm1"): there is no user "no-such-user"; \#
            allowed: the name of a user of this machine, or a number
            lan.toml:4: port[1].allow_uids[3] (port "vm1"): "root" is in the list twice
            """#),
        .inUnixgramPort(
            "a send buffer that is too small",
            #"send_buffer = "4KiB""#,
            #"""
            lan.toml:4: port[1].send_buffer (port "vm1"): "4KiB" is out of range; allowed: 8KiB \#
            to 1GiB, written like 1500, "64KiB" or "1MB"
            """#),
        .inUnixgramPort(
            "a send buffer that does not hold the longest frame",
            #"""
            max_frame = 65550
            send_buffer = "64KiB"
            """#,
            #"""
            lan.toml:5: port[1].send_buffer (port "vm1"): send_buffer 65536 is too small for \#
            max_frame 65550; allowed: at least max_frame + 8KiB = 73742
            """#),
        .inUnixgramPort(
            "an offload of TAP ports",
            #"offload = "vnet""#,
            #"""
            lan.toml:4: port[1].offload (port "vm1"): "vnet" is not for unixgram ports; allowed: \#
            "none" or "raw" there
            """#),
        .inUnixgramPort(
            "a queue that does not hold two frames of a raw port",
            #"""
            offload = "raw"
            queue_bytes = "128KiB"
            """#,
            #"""
            lan.toml:5: port[1].queue_bytes (port "vm1"): queue_bytes 131072 does not hold two \#
            frames of max_frame 65550; allowed: 0 or at least 131100
            """#),
        .inUnixgramPort(
            "a response to congestion that there is not",
            #"on_congestion = "pauses""#,
            #"""
            lan.toml:4: port[1].on_congestion (port "vm1"): "pauses" is not a response to \#
            congestion; allowed: "drop" or "pause"; did you mean "pause"?
            """#),
        .inUnixgramPort(
            "a response to congestion that is a boolean",
            "on_congestion = true",
            #"""
            lan.toml:4: port[1].on_congestion (port "vm1"): must be a string, not the boolean \#
            true; allowed: "drop" or "pause"
            """#),
        .inUnixgramPort(
            "a key of a TAP port",
            "mtu = 9000",
            #"""
            lan.toml:4: port[1].mtu (port "vm1"): is a key of tap ports, not of unixgram ports
            """#),
    ]
}
