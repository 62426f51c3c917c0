// Broken configurations by their `[port_defaults]`.
// Each case has the text and everything the user is told.

extension BrokenConfiguration {
    /// `[port_defaults]`.
    static let portDefaults: [BrokenConfiguration] = [
        .whole(
            "defaults that are no table",
            #"""
            port_defaults = 1518
            [[port]]
            name = "vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:1: port_defaults: must be a table, not the integer 1518; allowed: \#
            [port_defaults]
            """#),
        .whole(
            "keys that have no default",
            #"""
            [port_defaults]
            name = "vm"
            count = 2
            path = "a.sock"
            device = "rs0"
            [[port]]
            name = "vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:2: port_defaults.name: cannot have a default: it differs from port to port; \#
            allowed: in [[port]]
            lan.toml:3: port_defaults.count: cannot have a default: it differs from port to port; \#
            allowed: in [[port]]
            lan.toml:4: port_defaults.path: cannot have a default: it differs from port to port; \#
            allowed: in [[port]]
            lan.toml:5: port_defaults.device: cannot have a default: it differs from port to \#
            port; allowed: in [[port]]
            """#),
        .whole(
            "a misspelt key",
            #"""
            [port_defaults]
            maxframe = 1518
            [[port]]
            name = "vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:2: port_defaults.maxframe: unknown key; did you mean max_frame?
            """#),
        .whole(
            "a wrong value, told once for all ports",
            #"""
            [port_defaults]
            max_frame = "big"
            [[port]]
            name = "vm1"
            type = "unixgram"
            [[port]]
            name = "vm2"
            type = "unixgram"

            """#,
            #"""
            lan.toml:2: port_defaults.max_frame: "big" is not a size; allowed: 64 to 65550 bytes, \#
            written like 1500, "64KiB" or "1MB"
            """#),
        .whole(
            "an impossible pair, told once for all ports",
            #"""
            [port_defaults]
            queue_bytes = 2000
            [[port]]
            name = "vm1"
            type = "unixgram"
            [[port]]
            name = "vm2"
            type = "unixgram"

            """#,
            #"""
            lan.toml:2: port_defaults.queue_bytes: queue_bytes 2000 does not hold two frames of \#
            max_frame 1518; allowed: 0 or at least 3036
            """#),
        .whole(
            "a default that does not fit a port",
            #"""
            [port_defaults]
            max_frame = 1518
            [[port]]
            name = "host"
            type = "tap"
            device = "rs0"
            mtu = 9000

            """#,
            #"""
            lan.toml:7: port[1].mtu (port "host"): max_frame 1518 is too small for mtu 9000; \#
            allowed: at least mtu + 14 = 9014
            """#),
        .whole(
            "an offload that is not for every port",
            #"""
            [port_defaults]
            offload = "raw"
            [[port]]
            name = "vm1"
            type = "unixgram"
            [[port]]
            name = "host"
            type = "tap"
            device = "rs0"
            [[port]]
            name = "lab"
            type = "tap"
            device = "rs1"

            """#,
            #"""
            lan.toml:2: port_defaults.offload: "raw" is not for tap ports; allowed: "vnet" or \#
            "none" there
            """#),
        .whole(
            "a number without a count",
            #"""
            [port_defaults]
            netns = "lab{n}"
            [[port]]
            name = "host"
            type = "tap"
            device = "rs0"

            """#,
            #"""
            lan.toml:2: port_defaults.netns: "lab{n}" has {n}, but the port has no count; \#
            allowed: {n} together with count
            """#),
    ]
}
