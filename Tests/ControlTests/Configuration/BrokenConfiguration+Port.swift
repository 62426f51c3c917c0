// Broken configurations by a key that every port has.
// Each case has the text and everything the user is told.

extension BrokenConfiguration {
    /// Keys that every port has.
    static let ports: [BrokenConfiguration] = [
        .whole(
            "no name and no type",
            #"""
            [[port]]

            """#,
            #"""
            lan.toml:1: port[1].name: is missing; allowed: 1 to 63 characters of a-z, 0-9, '.', \#
            '_' and '-', the first a letter or digit
            lan.toml:1: port[1].type: is missing; allowed: "unixgram", \#
            "stream", "seqpacket", "vpnkit" or "tap"
            """#),
        .whole(
            "no name",
            #"""
            [[port]]
            type = "unixgram"

            """#,
            #"""
            lan.toml:1: port[1].name: is missing; allowed: 1 to 63 characters of a-z, 0-9, '.', \#
            '_' and '-', the first a letter or digit
            """#),
        .whole(
            "no type",
            #"""
            [[port]]
            name = "vm1"

            """#,
            #"""
            lan.toml:1: port[1].type (port "vm1"): is missing; allowed: "unixgram", \#
            "stream", "seqpacket", "vpnkit" or "tap"
            """#),
        .whole(
            "an unknown type",
            #"""
            [[port]]
            name = "vm1"
            type = "unixgrm"

            """#,
            #"""
            lan.toml:3: port[1].type (port "vm1"): "unixgrm" is not a type of port; allowed: \#
            "unixgram", "stream", "seqpacket", "vpnkit" or "tap"; did you mean "unixgram"?
            """#),
        .whole(
            "a type that resembles none",
            #"""
            [[port]]
            name = "vm1"
            type = "vhost-user"

            """#,
            #"""
            lan.toml:3: port[1].type (port "vm1"): "vhost-user" is not a type of port; allowed: \#
            "unixgram", "stream", "seqpacket", "vpnkit" or "tap"
            """#),
        .whole(
            "a type that is a number",
            #"""
            [[port]]
            name = "vm1"
            type = 1

            """#,
            #"""
            lan.toml:3: port[1].type (port "vm1"): must be a string, not the integer 1; allowed: \#
            "unixgram", "stream", "seqpacket", "vpnkit" or "tap"
            """#),
        .whole(
            "a name in capitals",
            #"""
            [[port]]
            name = "VM1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:2: port[1].name (port "VM1"): "VM1" is not a name; allowed: 1 to 63 \#
            characters of a-z, 0-9, '.', '_' and '-', the first a letter or digit; did you mean \#
            "vm1"?
            """#),
        .whole(
            "a name with a slash",
            #"""
            [[port]]
            name = "../vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:2: port[1].name (port "../vm1"): "../vm1" is not a name; allowed: 1 to 63 \#
            characters of a-z, 0-9, '.', '_' and '-', the first a letter or digit
            """#),
        .whole(
            "an empty name",
            #"""
            [[port]]
            name = ""
            type = "unixgram"

            """#,
            #"""
            lan.toml:2: port[1].name (port ""): is empty; allowed: 1 to 63 characters of a-z, \#
            0-9, '.', '_' and '-', the first a letter or digit
            """#),
        .inUnixgramPort(
            "a misspelt key",
            "max_fram = 1518",
            #"""
            lan.toml:4: port[1].max_fram (port "vm1"): unknown key; did you mean max_frame?
            """#),
        .inUnixgramPort(
            "a key of the switch",
            "workers = 2",
            #"""
            lan.toml:4: port[1].workers (port "vm1"): unknown key here; allowed: in [switch]
            """#),
        .inUnixgramPort(
            "a key with quotes and a dot",
            #""max.frame" = 1518"#,
            #"""
            lan.toml:4: port[1]."max.frame" (port "vm1"): unknown key; did you mean max_frame?
            """#),
        .whole(
            "the same name twice",
            #"""
            [[port]]
            name = "vm1"
            type = "unixgram"

            [[port]]
            name = "vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:6: port[2].name (port "vm1"): the name "vm1" is already that of port[1] \#
            (line 1)
            """#),
        .inUnixgramPort(
            "an offload that there is not",
            #"offload = "non""#,
            #"""
            lan.toml:4: port[1].offload (port "vm1"): "non" is not an offload; allowed: "none", \#
            "vnet" or "raw"; did you mean "none"?
            """#),
        .inUnixgramPort(
            "an offload that is a boolean",
            "offload = true",
            #"""
            lan.toml:4: port[1].offload (port "vm1"): must be a string, not the boolean true; \#
            allowed: "none", "vnet" or "raw"
            """#),
        .inUnixgramPort(
            "a frame that is too short",
            "max_frame = 63",
            #"""
            lan.toml:4: port[1].max_frame (port "vm1"): 63 is out of range; allowed: 64 to 65550 \#
            bytes, written like 1500, "64KiB" or "1MB"
            """#),
        .inUnixgramPort(
            "a frame that is too long",
            "max_frame = 65551",
            #"""
            lan.toml:4: port[1].max_frame (port "vm1"): 65551 is out of range; allowed: 64 to \#
            65550 bytes, written like 1500, "64KiB" or "1MB"
            """#),
        .inUnixgramPort(
            "a size with a blank and a wrong unit",
            #"max_frame = "9 kb""#,
            #"""
            lan.toml:4: port[1].max_frame (port "vm1"): "9 kb" is not a size; allowed: 64 to \#
            65550 bytes, written like 1500, "64KiB" or "1MB"; did you mean "9kB"?
            """#),
        .inUnixgramPort(
            "a size that is not a number",
            #"max_frame = "large""#,
            #"""
            lan.toml:4: port[1].max_frame (port "vm1"): "large" is not a size; allowed: 64 to \#
            65550 bytes, written like 1500, "64KiB" or "1MB"
            """#),
        .inUnixgramPort(
            "a size that is a float",
            "max_frame = 1518.0",
            #"""
            lan.toml:4: port[1].max_frame (port "vm1"): must be a size, not the float 1518.0; \#
            allowed: 64 to 65550 bytes, written like 1500, "64KiB" or "1MB"
            """#),
        .inUnixgramPort(
            "a queue shorter than two frames",
            "queue_bytes = 3035",
            #"""
            lan.toml:4: port[1].queue_bytes (port "vm1"): queue_bytes 3035 does not hold two \#
            frames of max_frame 1518; allowed: 0 or at least 3036
            """#),
        .inUnixgramPort(
            "a queue that is too large",
            #"queue_bytes = "257MiB""#,
            #"""
            lan.toml:4: port[1].queue_bytes (port "vm1"): "257MiB" is out of range; allowed: 0 to \#
            256MiB, written like 1500, "64KiB" or "1MB"
            """#),
        .inUnixgramPort(
            "an order that no queue has",
            #"queue = "lifo""#,
            #"""
            lan.toml:4: port[1].queue (port "vm1"): "lifo" is not an order; allowed: "fair" or \#
            "fifo"; did you mean "fifo"?
            """#),
        .inUnixgramPort(
            "a queue target that is too short",
            #"queue_target = "50us""#,
            #"""
            lan.toml:4: port[1].queue_target (port "vm1"): "50us" is out of range; allowed: 100us \#
            to 1s, written like "500us", "5ms" or "1s"
            """#),
        .inUnixgramPort(
            "a queue delay that is too short",
            #"queue_delay = "99us""#,
            #"""
            lan.toml:4: port[1].queue_delay (port "vm1"): "99us" is out of range; allowed: 100us \#
            to 10s, written like "500us", "5ms" or "1s"
            """#),
        .inUnixgramPort(
            "a queue delay that is too long",
            #"queue_delay = "11s""#,
            #"""
            lan.toml:4: port[1].queue_delay (port "vm1"): "11s" is out of range; allowed: 100us \#
            to 10s, written like "500us", "5ms" or "1s"
            """#),
        .inUnixgramPort(
            "a queue delay in a Greek unit",
            #"queue_delay = "500µs""#,
            #"""
            lan.toml:4: port[1].queue_delay (port "vm1"): "500µs" is not a duration; allowed: \#
            100us to 10s, written like "500us", "5ms" or "1s"; did you mean "500us"?
            """#),
    ]
}
