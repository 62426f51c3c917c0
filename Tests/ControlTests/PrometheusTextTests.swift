// The metrics text: samples, escaping, and the shape that the format demands.

import Testing

@testable import Control

struct PrometheusTextTests {
    @Test func `samples carry port, reason and worker`() {
        let lines = Set(PrometheusText.render(.sample()).split(separator: "\n").map(String.init))
        for line in [
            #"ringswitch_build_info{switch="lan0",version="9.8.7"} 1"#,
            "ringswitch_uptime_seconds 75.0",
            "ringswitch_mac_entries 2",
            #"ringswitch_port_up{port="vm1"} 1"#,
            #"ringswitch_port_up{port="spare"} 0"#,
            #"ringswitch_port_up{port="host"} 1"#,
            #"ringswitch_port_received_frames_total{port="vm1"} 1000"#,
            #"ringswitch_port_received_bytes_total{port="vm1"} 100000"#,
            #"ringswitch_port_sent_frames_total{port="host"} 982"#,
            #"ringswitch_port_flood_copies_total{port="vm1"} 3"#,
            #"ringswitch_port_dropped_frames_total{port="vm1",reason="queue_full"} 10"#,
            #"ringswitch_port_queue_bytes{port="vm1"} 2048"#,
            #"ringswitch_port_send_buffer_bytes{port="vm1"} 4194304"#,
            #"ringswitch_worker_turns_total{worker="0"} 12"#,
        ] {
            #expect(lines.contains(line), "\(line)")
        }
    }

    @Test func `only ports that pause have samples of it`() {
        var report = StatusReport.sample()
        report.ports[0].pause = PauseStatus(isPaused: true, count: 12, seconds: 0.5)
        let samples = PrometheusText.render(report).split(separator: "\n")
            .filter { $0.hasPrefix("ringswitch_port_pause") }
        #expect(
            samples == [
                #"ringswitch_port_paused{port="vm1"} 1"#,
                #"ringswitch_port_pauses_total{port="vm1"} 12"#,
                #"ringswitch_port_paused_seconds_total{port="vm1"} 0.5"#,
            ])
    }

    @Test func `label values are escaped`() {
        #expect(PrometheusText.labelEscaped("a\\b\"c\nd") == #"a\\b\"c\nd"#)
        var report = StatusReport.sample()
        report.ports[0].name = "x\"} 1\ninjected"
        let text = PrometheusText.render(report)
        #expect(text.contains(#"ringswitch_port_up{port="x\"} 1\ninjected"} 1"#))
        #expect(!text.split(separator: "\n").contains { $0.hasPrefix("injected") })
    }

    @Test func `every family has one HELP and one TYPE line before its samples`() throws {
        var announced: [String: String] = [:]
        var current = ""
        for line in PrometheusText.render(.sample()).split(separator: "\n") {
            let words = line.split(separator: " ")
            if line.hasPrefix("# HELP ") {
                current = String(words[2])
                #expect(announced[current] == nil, "\(current) appears twice")
                #expect(words.count > 3)
            } else if line.hasPrefix("# TYPE ") {
                #expect(words[2] == current)
                announced[current] = String(words[3])
            } else {
                let name = String(line.prefix { $0 != "{" && $0 != " " })
                #expect(name == current)
                #expect((announced[name] == "counter") == name.hasSuffix("_total"))
                _ = try #require(Double(words.last ?? ""))
            }
        }
        #expect(announced.count == 30)
    }

    @Test func `the text ends with a line break`() {
        #expect(PrometheusText.render(.sample()).hasSuffix("\n"))
    }
}
