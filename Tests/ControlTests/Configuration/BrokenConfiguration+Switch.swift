// Broken configurations by a key of `[switch]`.
// Each case has the text and everything the user is told.

extension BrokenConfiguration {
    /// Keys of `[switch]`.
    static let switchKeys: [BrokenConfiguration] = [
        .inSwitch(
            "a misspelt key",
            "worker = 2",
            #"""
            lan.toml:2: switch.worker: unknown key; did you mean workers?
            """#),
        .inSwitch(
            "a key in American spelling",
            #"mac_aging = "300s""#,
            #"""
            lan.toml:2: switch.mac_aging: unknown key; did you mean mac_ageing?
            """#),
        .inSwitch(
            "a key with a hyphen",
            "mac-limit = 64",
            #"""
            lan.toml:2: switch.mac-limit: unknown key; did you mean mac_limit?
            """#),
        .inSwitch(
            "a key of a port",
            "max_frame = 1518",
            #"""
            lan.toml:2: switch.max_frame: unknown key here; allowed: in [[port]]
            """#),
        .inSwitch(
            "an unknown key",
            #"colour = "red""#,
            #"""
            lan.toml:2: switch.colour: unknown key; allowed: name, workers, cpus, busy_poll, \#
            runtime_dir, mac_ageing, mac_limit
            """#),
        .inSwitch(
            "a name in capitals",
            #"name = "LAN 0""#,
            #"""
            lan.toml:2: switch.name: "LAN 0" is not a name; allowed: 1 to 63 characters of a-z, \#
            0-9, '.', '_' and '-', the first a letter or digit; did you mean "lan-0"?
            """#),
        .inSwitch(
            "an empty name",
            #"name = """#,
            #"""
            lan.toml:2: switch.name: "" is not a name; allowed: 1 to 63 characters of a-z, 0-9, \#
            '.', '_' and '-', the first a letter or digit
            """#),
        .inSwitch(
            "a name of 64 bytes",
            #"""
            name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"
            """#,
            #"""
            lan.toml:2: switch.name: \#
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..." is not a name; \#
            allowed: 1 to 63 characters of a-z, 0-9, '.', '_' and '-', the first a letter or digit
            """#),
        .inSwitch(
            "a name that is a number",
            "name = 5",
            #"""
            lan.toml:2: switch.name: must be a name, not the integer 5; allowed: 1 to 63 \#
            characters of a-z, 0-9, '.', '_' and '-', the first a letter or digit
            """#),
        .inSwitch(
            "workers in words",
            #"workers = "two""#,
            #"""
            lan.toml:2: switch.workers: must be an integer, not the string "two"; allowed: 1 to 64
            """#),
        .inSwitch(
            "no worker",
            "workers = 0",
            #"""
            lan.toml:2: switch.workers: 0 is out of range; allowed: 1 to 64
            """#),
        .inSwitch(
            "too many workers",
            "workers = 65",
            #"""
            lan.toml:2: switch.workers: 65 is out of range; allowed: 1 to 64
            """#),
        .inSwitch(
            "half a worker",
            "workers = 1.5",
            #"""
            lan.toml:2: switch.workers: must be an integer, not the float 1.5; allowed: 1 to 64
            """#),
        .inSwitch(
            "cpus that are no list",
            "cpus = 2",
            #"""
            lan.toml:2: switch.cpus: must be a list, not the integer 2; allowed: a list in \#
            brackets, each 0 to 1023
            """#),
        .inSwitch(
            "fewer cpus than workers",
            #"""
            workers = 2
            cpus = [3]
            """#,
            #"""
            lan.toml:3: switch.cpus: pins 1 worker, but workers is 2; allowed: one CPU for each \#
            worker, or none
            """#),
        .inSwitch(
            "more cpus than workers",
            "cpus = [2, 3]",
            #"""
            lan.toml:2: switch.cpus: pins 2 workers, but workers is 1; allowed: one CPU for each \#
            worker, or none
            """#),
        .inSwitch(
            "the same cpu twice",
            #"""
            workers = 2
            cpus = [3, 3]
            """#,
            #"""
            lan.toml:3: switch.cpus[2]: 3 is in the list twice
            """#),
        .inSwitch(
            "cpus that are none",
            #"""
            workers = 3
            cpus = [
              0,
              -1,
              "two",
            ]
            """#,
            #"""
            lan.toml:5: switch.cpus[2]: -1 is out of range; allowed: 0 to 1023
            lan.toml:6: switch.cpus[3]: must be an integer, not the string "two"; allowed: 0 to \#
            1023
            """#),
        .inSwitch(
            "a relative runtime directory",
            #"runtime_dir = "run""#,
            #"""
            lan.toml:2: switch.runtime_dir: "run" is not an absolute path; allowed: an absolute \#
            path of at most 93 bytes
            """#),
        .inSwitch(
            "a runtime directory that is too long",
            #"""
            runtime_dir = \#
            "/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\#
            ddddddddd"
            """#,
            #"""
            lan.toml:2: switch.runtime_dir: is 94 bytes long; allowed: an absolute path of at \#
            most 93 bytes
            """#),
        .inSwitch(
            "a time without a unit",
            "mac_ageing = 300",
            #"""
            lan.toml:2: switch.mac_ageing: must be a duration, not the integer 300; allowed: 1s \#
            to 500000s, written like "300s", "5m" or "1h"; did you mean "300s"?
            """#),
        .inSwitch(
            "a time with a number in a string",
            #"mac_ageing = "300""#,
            #"""
            lan.toml:2: switch.mac_ageing: "300" is not a duration; allowed: 1s to 500000s, \#
            written like "300s", "5m" or "1h"; did you mean "300s"?
            """#),
        .inSwitch(
            "a time with a blank",
            #"mac_ageing = "300 sec""#,
            #"""
            lan.toml:2: switch.mac_ageing: "300 sec" is not a duration; allowed: 1s to 500000s, \#
            written like "300s", "5m" or "1h"; did you mean "300s"?
            """#),
        .inSwitch(
            "a time with an unknown unit",
            #"mac_ageing = "2 fortnights""#,
            #"""
            lan.toml:2: switch.mac_ageing: "2 fortnights" is not a duration; allowed: 1s to \#
            500000s, written like "300s", "5m" or "1h"
            """#),
        .inSwitch(
            "a worker that would look for long",
            #"busy_poll = "5ms""#,
            #"""
            lan.toml:2: switch.busy_poll: "5ms" is out of range; allowed: 0us to 1ms, \#
            written like "500us", "5ms" or "1s"
            """#),
        .inSwitch(
            "a time that is too short",
            #"mac_ageing = "5ms""#,
            #"""
            lan.toml:2: switch.mac_ageing: "5ms" is out of range; allowed: 1s to 500000s, \#
            written like "300s", "5m" or "1h"
            """#),
        .inSwitch(
            "a time between seconds",
            #"mac_ageing = "1500ms""#,
            #"""
            lan.toml:2: switch.mac_ageing: "1500ms" is not a whole number of seconds; allowed: 1s \#
            to 500000s, written like "300s", "5m" or "1h"
            """#),
        .inSwitch(
            "a time that overflows",
            #"mac_ageing = "9223372036854775807h""#,
            #"""
            lan.toml:2: switch.mac_ageing: "9223372036854775807h" is not a duration; allowed: 1s \#
            to 500000s, written like "300s", "5m" or "1h"
            """#),
        .inSwitch(
            "a negative time",
            #"mac_ageing = "-5s""#,
            #"""
            lan.toml:2: switch.mac_ageing: "-5s" is not a duration; allowed: 1s to 500000s, \#
            written like "300s", "5m" or "1h"
            """#),
        .inSwitch(
            "a MAC table that is too small",
            "mac_limit = 63",
            #"""
            lan.toml:2: switch.mac_limit: 63 is out of range; allowed: 64 to 1048576
            """#),
        .inSwitch(
            "a MAC table that is too large",
            "mac_limit = 1048577",
            #"""
            lan.toml:2: switch.mac_limit: 1048577 is out of range; allowed: 64 to 1048576
            """#),
        .inSwitch(
            "a limit that is a boolean",
            "mac_limit = true",
            #"""
            lan.toml:2: switch.mac_limit: must be an integer, not the boolean true; allowed: 64 \#
            to 1048576
            """#),
    ]
}
