// Broken configurations by a key of a TAP port.
// Each case has the text and everything the user is told.

extension BrokenConfiguration {
    /// Keys of `tap` ports.
    static let tapPorts: [BrokenConfiguration] = [
        .whole(
            "no device",
            #"""
            [[port]]
            name = "host"
            type = "tap"

            """#,
            #"""
            lan.toml:1: port[1].device (port "host"): is missing; allowed: 1 to 15 bytes without \#
            blanks, '/', ':' and '%'
            """#),
        .whole(
            "a device name of 16 bytes",
            #"""
            [[port]]
            name = "host"
            type = "tap"
            device = "ringswitch-host0"

            """#,
            #"""
            lan.toml:4: port[1].device (port "host"): "ringswitch-host0" is 16 bytes long; \#
            allowed: 1 to 15 bytes without blanks, '/', ':' and '%'
            """#),
        .whole(
            "a device name with a blank",
            #"""
            [[port]]
            name = "host"
            type = "tap"
            device = "rs 0"

            """#,
            #"""
            lan.toml:4: port[1].device (port "host"): "rs 0" is not a device name; allowed: 1 to \#
            15 bytes without blanks, '/', ':' and '%'
            """#),
        .whole(
            "a device name with a slash",
            #"""
            [[port]]
            name = "host"
            type = "tap"
            device = "rs/0"

            """#,
            #"""
            lan.toml:4: port[1].device (port "host"): "rs/0" is not a device name; allowed: 1 to \#
            15 bytes without blanks, '/', ':' and '%'
            """#),
        .whole(
            "a device name that the kernel would number",
            #"""
            [[port]]
            name = "host"
            type = "tap"
            device = "rs%d"

            """#,
            #"""
            lan.toml:4: port[1].device (port "host"): "rs%d" is not a device name; allowed: 1 to \#
            15 bytes without blanks, '/', ':' and '%'
            """#),
        .whole(
            "an empty device name",
            #"""
            [[port]]
            name = "host"
            type = "tap"
            device = ""

            """#,
            #"""
            lan.toml:4: port[1].device (port "host"): is empty; allowed: 1 to 15 bytes without \#
            blanks, '/', ':' and '%'
            """#),
        .whole(
            "the same device twice",
            #"""
            [[port]]
            name = "host"
            type = "tap"
            device = "rs0"

            [[port]]
            name = "lab"
            type = "tap"
            device = "rs0"

            """#,
            #"""
            lan.toml:9: port[2].device (port "lab"): the device "rs0" is already that of port[1] \#
            (line 1)
            """#),
        .inTAPPort(
            "a namespace with a slash",
            #"netns = "/run/netns/lab""#,
            #"""
            lan.toml:5: port[1].netns (port "host"): "/run/netns/lab" is not a namespace; \#
            allowed: the name of a network namespace, without '/'
            """#),
        .inTAPPort(
            "an address without a prefix length",
            #"address = ["192.168.127.1"]"#,
            #"""
            lan.toml:5: port[1].address[1] (port "host"): "192.168.127.1" has no prefix length; \#
            allowed: such as "192.168.127.1/24" or "fd00::1/64"
            """#),
        .inTAPPort(
            "an address that is no list",
            #"address = "192.168.127.1/24""#,
            #"""
            lan.toml:5: port[1].address (port "host"): must be a list, not the string \#
            "192.168.127.1/24"; allowed: a list in brackets, each such as "192.168.127.1/24" or \#
            "fd00::1/64"
            """#),
        .inTAPPort(
            "addresses that are none",
            #"""
            address = ["192.168.127.256/24", "fd00::1/129", "10.0.0.1/33", "10.0.0.1/024", \#
            "fd00:::1/64"]
            """#,
            #"""
            lan.toml:5: port[1].address[1] (port "host"): "192.168.127.256/24" is not an IPv4 or \#
            IPv6 address with a prefix length; allowed: such as "192.168.127.1/24" or "fd00::1/64"
            lan.toml:5: port[1].address[2] (port "host"): "fd00::1/129" has a prefix length that \#
            is not 0 to 128, as IPv6 has; allowed: such as "192.168.127.1/24" or "fd00::1/64"
            lan.toml:5: port[1].address[3] (port "host"): "10.0.0.1/33" has a prefix length that \#
            is not 0 to 32, as IPv4 has; allowed: such as "192.168.127.1/24" or "fd00::1/64"
            lan.toml:5: port[1].address[4] (port "host"): "10.0.0.1/024" has a prefix length that \#
            is not 0 to 32, as IPv4 has; allowed: such as "192.168.127.1/24" or "fd00::1/64"
            lan.toml:5: port[1].address[5] (port "host"): "fd00:::1/64" is not an IPv4 or IPv6 \#
            address with a prefix length; allowed: such as "192.168.127.1/24" or "fd00::1/64"
            """#),
        .inTAPPort(
            "addresses that no device can have",
            #"address = ["224.0.0.1/4", "0.0.0.0/0", "ff02::1/64"]"#,
            #"""
            lan.toml:5: port[1].address[1] (port "host"): "224.0.0.1/4" is not an address that a \#
            device can have; allowed: such as "192.168.127.1/24" or "fd00::1/64"
            lan.toml:5: port[1].address[2] (port "host"): "0.0.0.0/0" is not an address that a \#
            device can have; allowed: such as "192.168.127.1/24" or "fd00::1/64"
            lan.toml:5: port[1].address[3] (port "host"): "ff02::1/64" is not an address that a \#
            device can have; allowed: such as "192.168.127.1/24" or "fd00::1/64"
            """#),
        .inTAPPort(
            "the same address twice in a list",
            #"address = ["fd00::1/64", "fd00:0::1/64"]"#,
            #"""
            lan.toml:5: port[1].address[2] (port "host"): "fd00::1/64" is in the list twice
            """#),
        .inTAPPort(
            "the same address on two devices",
            #"""
            address = ["10.0.0.1/24"]

            [[port]]
            name = "lab"
            type = "tap"
            device = "rs1"
            address = ["10.0.0.1/16"]
            """#,
            #"""
            lan.toml:11: port[2].address (port "lab"): the address 10.0.0.1/16 is already that of \#
            port[1] (line 1)
            """#),
        .inTAPPort(
            "an MTU that is too small",
            "mtu = 67",
            #"""
            lan.toml:5: port[1].mtu (port "host"): 67 is out of range; allowed: 68 to 65521 bytes
            """#),
        .inTAPPort(
            "an MTU that is a string",
            #"mtu = "1500""#,
            #"""
            lan.toml:5: port[1].mtu (port "host"): must be an integer, not the string "1500"; \#
            allowed: 68 to 65521 bytes
            """#),
        .inTAPPort(
            "an MTU too small for IPv6",
            #"""
            mtu = 1279
            address = ["fd00::1/64"]
            """#,
            #"""
            lan.toml:5: port[1].mtu (port "host"): mtu 1279 is too small for the IPv6 address \#
            fd00::1/64; allowed: at least 1280
            """#),
        .inTAPPort(
            "a frame that is too short for the MTU",
            #"""
            mtu = 9000
            max_frame = 1518
            """#,
            #"""
            lan.toml:6: port[1].max_frame (port "host"): max_frame 1518 is too small for mtu \#
            9000; allowed: at least mtu + 14 = 9014
            """#),
        .inTAPPort(
            "an offload of unixgram ports",
            #"offload = "raw""#,
            #"""
            lan.toml:5: port[1].offload (port "host"): "raw" is not for tap ports; allowed: \#
            "vnet" or "none" there
            """#),
        .inTAPPort(
            "a queue that does not hold two frames of 64 KiB",
            #"queue_bytes = "128KiB""#,
            #"""
            lan.toml:5: port[1].queue_bytes (port "host"): queue_bytes 131072 does not hold two \#
            frames that are not yet cut up; allowed: 0 or at least 131124 with offload "vnet"
            """#),
        .inTAPPort(
            "a boolean in quotes",
            #"persist = "true""#,
            #"""
            lan.toml:5: port[1].persist (port "host"): must be a boolean, not the string "true"; \#
            allowed: true or false; did you mean true?
            """#),
        .inTAPPort(
            "a queue of no frames",
            "tx_queue_length = 0",
            #"""
            lan.toml:5: port[1].tx_queue_length (port "host"): 0 is out of range; allowed: 1 to \#
            100000 frames
            """#),
        .inTAPPort(
            "a misspelt key in the plural",
            #"addresses = ["10.0.0.1/24"]"#,
            #"""
            lan.toml:5: port[1].addresses (port "host"): unknown key; did you mean address?
            """#),
        .inTAPPort(
            "keys of a unixgram port",
            #"""
            path = "vm1.sock"
            mode = "0660"
            send_buffer = "1MiB"
            """#,
            #"""
            lan.toml:5: port[1].path (port "host"): is a key of socket ports, not of tap ports
            lan.toml:6: port[1].mode (port "host"): is a key of socket ports, not of tap ports
            lan.toml:7: port[1].send_buffer (port "host"): is a key of socket ports, not of tap \#
            ports
            """#),
        .inTAPPort(
            "a device that shall wait",
            #"on_congestion = "pause""#,
            #"""
            lan.toml:5: port[1].on_congestion (port "host"): is a key of socket ports, not of \#
            tap ports: a device holds nobody back and drops what is not read, so it is always read
            """#),
    ]
}
