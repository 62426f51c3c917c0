// Broken configurations with more than one error.
// Each case has the text and everything the user is told.

extension BrokenConfiguration {
    /// More than one error at once, in the order of the file.
    static let several: [BrokenConfiguration] = [
        .whole(
            "one error in each table",
            #"""
            [switch]
            workers = 0

            [port_defaults]
            mode = "rw"

            [[port]]
            name = "vm1"
            type = "unixgram"
            mtu = 1500

            [[port]]
            name = "host"
            type = "tap"

            """#,
            #"""
            lan.toml:2: switch.workers: 0 is out of range; allowed: 1 to 64
            lan.toml:5: port_defaults.mode: "rw" is not a mode of a file; allowed: an octal \#
            string from "0000" to "0777", such as "0660"
            lan.toml:10: port[1].mtu (port "vm1"): is a key of tap ports, not of unixgram ports
            lan.toml:12: port[2].device (port "host"): is missing; allowed: 1 to 15 bytes without \#
            blanks, '/', ':' and '%'
            """#),
        .whole(
            "many errors in one port",
            #"""
            [[port]]
            name = "Host"
            type = "tap"
            device = "rs 0"
            mtu = 40
            address = ["10.0.0.1"]
            queue_delay = 5
            mac_limit = 64
            color = "red"

            """#,
            #"""
            lan.toml:2: port[1].name (port "Host"): "Host" is not a name; allowed: 1 to 63 \#
            characters of a-z, 0-9, '.', '_' and '-', the first a letter or digit; did you mean \#
            "host"?
            lan.toml:4: port[1].device (port "Host"): "rs 0" is not a device name; allowed: 1 to \#
            15 bytes without blanks, '/', ':' and '%'
            lan.toml:5: port[1].mtu (port "Host"): 40 is out of range; allowed: 68 to 65521 bytes
            lan.toml:6: port[1].address[1] (port "Host"): "10.0.0.1" has no prefix length; \#
            allowed: such as "192.168.127.1/24" or "fd00::1/64"
            lan.toml:7: port[1].queue_delay (port "Host"): must be a duration, not the integer 5; \#
            allowed: 100us to 10s, written like "500us", "5ms" or "1s"; did you mean "5s"?
            lan.toml:8: port[1].mac_limit (port "Host"): unknown key here; allowed: in [switch]
            lan.toml:9: port[1].color (port "Host"): unknown key; allowed: name, count, type, \#
            source, fd, offload, max_frame, queue, queue_bytes, queue_target, queue_delay, \#
            flood_rate, device, netns, address, mtu, persist, tx_queue_length
            """#),
        .inUnixgramPort(
            "errors of tables out of order",
            #"""
            mode = 1

            [switch]
            mac_limit = 1
            """#,
            #"""
            lan.toml:4: port[1].mode (port "vm1"): must be a mode, not the integer 1; allowed: an \#
            octal string from "0000" to "0777", such as "0660"
            lan.toml:7: switch.mac_limit: 1 is out of range; allowed: 64 to 1048576
            """#),
        .whole(
            "errors in inline tables",
            #"""
            switch = { name = "lan0", workers = 0 }
            port = [
              { name = "vm1", type = "unixgram" },
              { name = "vm2", type = "unixgram", mode = "9" },
            ]

            """#,
            #"""
            lan.toml:1: switch.workers: 0 is out of range; allowed: 1 to 64
            lan.toml:4: port[2].mode (port "vm2"): "9" is not a mode of a file; allowed: an octal \#
            string from "0000" to "0777", such as "0660"
            """#),
        .whole(
            "errors in dotted keys",
            #"""
            switch.workers = 0
            switch.mac_limit = "many"
            [[port]]
            name = "vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:1: switch.workers: 0 is out of range; allowed: 1 to 64
            lan.toml:2: switch.mac_limit: must be an integer, not the string "many"; allowed: 64 \#
            to 1048576
            """#),
    ]
}
