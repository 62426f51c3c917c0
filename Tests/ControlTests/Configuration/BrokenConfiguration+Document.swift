// Broken configurations that fail before any key is looked at.
// Each case has the text and everything the user is told.

extension BrokenConfiguration {
    /// What is no configuration at all: bad TOML, wrong tables, no port.
    static let document: [BrokenConfiguration] = [
        .whole(
            "no text at all",
            "",
            #"""
            lan.toml: port: there is no port; allowed: at least one [[port]] table
            """#),
        .whole(
            "only comments",
            #"""
            # nothing

            """#,
            #"""
            lan.toml: port: there is no port; allowed: at least one [[port]] table
            """#),
        .whole(
            "a table that is not closed",
            #"""
            [switch
            name = "lan0"

            """#,
            #"""
            lan.toml:1:8: not valid TOML: parsing table header: expected ']', saw '\n'
            """#),
        .inUnixgramPort(
            "a value without quotes",
            "path = vm1.sock",
            #"""
            lan.toml:4:8: not valid TOML: parsing value: could not determine value type
            """#),
        .whole(
            "a string that does not end",
            #"""
            [[port]]
            name = "vm1

            """#,
            #"""
            lan.toml:2:12: not valid TOML: parsing string: unescaped control characters other \#
            than TAB (U+0009) are explicitly prohibited
            """#),
        .inUnixgramPort(
            "a key given twice",
            #"type = "tap""#,
            #"""
            lan.toml:4:8: not valid TOML: parsing key-value pair: cannot redefine existing string \#
            'type'
            """#),
        .inSwitch(
            "a number that does not fit into 64 bits",
            "workers = 99999999999999999999",
            #"""
            lan.toml:2:31: not valid TOML: parsing decimal integer: '99999999999999999999' is not \#
            representable in 64 bits
            """#),
        .whole(
            "a zero byte",
            #"""
            [switch]
            name = "a\#u{0}b"

            """#,
            #"""
            lan.toml:2:10: not valid TOML: a zero byte
            """#),
        .inUnixgramPort(
            "a zero character in a string",
            #"path = "vm\u0000.sock""#,
            #"""
            lan.toml:4: a string holds a zero character
            """#),
        .whole(
            "only a switch",
            #"""
            [switch]
            name = "lan0"

            """#,
            #"""
            lan.toml: port: there is no port; allowed: at least one [[port]] table
            """#),
        .whole(
            "an empty list of ports",
            #"""
            port = []

            """#,
            #"""
            lan.toml: port: there is no port; allowed: at least one [[port]] table
            """#),
        .whole(
            "a port as a single table",
            #"""
            [port]
            name = "vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:1: port: must be a list of tables, not a table; allowed: [[port]], once for \#
            each port; did you mean [[port]]?
            """#),
        .whole(
            "ports that are not tables",
            #"""
            port = ["vm1", 2]

            """#,
            #"""
            lan.toml:1: port[1]: must be a table, not the string "vm1"; allowed: [[port]]
            lan.toml:1: port[2]: must be a table, not the integer 2; allowed: [[port]]
            """#),
        .whole(
            "a port as a string",
            #"""
            port = "vm1"

            """#,
            #"""
            lan.toml:1: port: must be a list of tables, not the string "vm1"; allowed: [[port]], \#
            once for each port
            """#),
        .whole(
            "a switch that is not a table",
            #"""
            switch = "lan0"
            [[port]]
            name = "vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:1: switch: must be a table, not the string "lan0"; allowed: [switch]
            """#),
        .whole(
            "a misspelt table",
            #"""
            [[ports]]
            name = "vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:1: ports: unknown key; did you mean [[port]]?
            """#),
        .whole(
            "an unknown table",
            #"""
            [logging]
            level = "debug"
            [[port]]
            name = "vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:1: logging: unknown key; allowed: [switch], [port_defaults], [[port]]
            """#),
        .whole(
            "a key of the switch outside its table",
            #"""
            workers = 2
            [[port]]
            name = "vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:1: workers: unknown key here; allowed: in [switch]
            """#),
        .whole(
            "a key of a port outside its table",
            #"""
            mtu = 9000
            [[port]]
            name = "vm1"
            type = "unixgram"

            """#,
            #"""
            lan.toml:1: mtu: unknown key here; allowed: in [[port]]
            """#),
        .whole(
            "a header that is no key",
            "[=]\n",
            "lan.toml:1:2: not valid TOML: expected a key in brackets"),
        .whole(
            "a header that is no key, after another error",
            "name = \n[=]\n",
            #"lan.toml:1:8: not valid TOML: parsing key-value pair: expected value, saw '\n'"#),
        .inUnixgramPort(
            "a brace in a list",
            "allow_uids = [1,}",
            "lan.toml:4:17: not valid TOML: expected a value or ']'"),
        .inUnixgramPort(
            "a time of TOML",
            "queue_delay = 00:00:05",
            "lan.toml:4:17: not valid TOML: no key takes a date or a time"),
        .inSwitch(
            "lists in lists without end",
            "cpus = " + String(repeating: "[", count: 100_000),
            "lan.toml:2:71: not valid TOML: nested too deeply"),
    ]
}
