// Broken configurations whose ports are numbered.
// Each case has the text and everything the user is told.

extension BrokenConfiguration {
    /// Numbered ports.
    static let counts: [BrokenConfiguration] = [
        .whole(
            "a count of zero",
            #"""
            [[port]]
            name = "lab-{n}"
            type = "unixgram"
            count = 0

            """#,
            #"""
            lan.toml:4: port[1].count (port "lab-{n}"): 0 is out of range; allowed: 1 to 1024
            """#),
        .whole(
            "a count that is too large",
            #"""
            [[port]]
            name = "lab-{n}"
            type = "unixgram"
            count = 1025

            """#,
            #"""
            lan.toml:4: port[1].count (port "lab-{n}"): 1025 is out of range; allowed: 1 to 1024
            """#),
        .inUnixgramPort(
            "a count without a number in the name",
            "count = 4",
            #"""
            lan.toml:2: port[1].name (port "vm1"): "vm1" has no {n}, which count needs to number \#
            the ports; did you mean "vm1-{n}"?
            """#),
        .whole(
            "a count without a number in the path",
            #"""
            [[port]]
            name = "lab-{n}"
            count = 2
            type = "unixgram"
            path = "lab.sock"

            """#,
            #"""
            lan.toml:5: port[1].path (port "lab-{n}"): "lab.sock" has no {n}, which count needs \#
            to number the ports; allowed: {n}, or shared = true
            """#),
        .whole(
            "a count without a number in the device",
            #"""
            [[port]]
            name = "tap{n}"
            count = 2
            type = "tap"
            device = "rs"

            """#,
            #"""
            lan.toml:5: port[1].device (port "tap{n}"): "rs" has no {n}, which count needs to \#
            number the ports; did you mean "rs{n}"?
            """#),
        .whole(
            "a number without a count",
            #"""
            [[port]]
            name = "lab-{n}"
            type = "unixgram"

            """#,
            #"""
            lan.toml:2: port[1].name (port "lab-{n}"): "lab-{n}" has {n}, but the port has no \#
            count; allowed: {n} together with count
            """#),
        .inUnixgramPort(
            "a number in the path without a count",
            #"path = "vm{n}.sock""#,
            #"""
            lan.toml:4: port[1].path (port "vm1"): "vm{n}.sock" has {n}, but the port has no \#
            count; allowed: {n} together with count
            """#),
        .whole(
            "too many ports in all",
            #"""
            [[port]]
            name = "a{n}"
            count = 1000
            type = "unixgram"

            [[port]]
            name = "b{n}"
            count = 25
            type = "unixgram"

            """#,
            #"""
            lan.toml:6: port[2] (port "b{n}"): makes 1025 ports in all; allowed: at most 1024
            """#),
        .whole(
            "a numbered name that is taken",
            #"""
            [[port]]
            name = "lab-{n}"
            count = 16
            type = "unixgram"

            [[port]]
            name = "lab-7"
            type = "unixgram"

            """#,
            #"""
            lan.toml:7: port[2].name (port "lab-7"): the name "lab-7" is already that of port[1] \#
            (line 1)
            """#),
        .whole(
            "one address for several devices",
            #"""
            [[port]]
            name = "tap{n}"
            count = 2
            type = "tap"
            device = "rs{n}"
            address = ["10.0.0.1/24"]

            """#,
            #"""
            lan.toml:6: port[1].address (port "tap{n}"): the address 10.0.0.1/24 would be that of \#
            several ports
            """#),
        .whole(
            "a numbered device that becomes too long",
            #"""
            [[port]]
            name = "tap{n}"
            count = 12
            type = "tap"
            device = "ringswitch-lab{n}"

            """#,
            #"""
            lan.toml:5: port[1].device (port "tap{n}"): "ringswitch-lab10" is 16 bytes long; \#
            allowed: 1 to 15 bytes without blanks, '/', ':' and '%'
            """#),
    ]
}
