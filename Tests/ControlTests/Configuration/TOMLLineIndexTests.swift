import Testing

@testable import Control

/// Where things stand in a text; also in one that is cut off or no TOML.
@Suite struct TOMLLineIndexTests {
    /// Lines by path, as people write paths.
    private func lines(_ text: String) -> [String: Int] {
        let lines = TOMLLineIndex(text).lines
        return Dictionary(uniqueKeysWithValues: lines.map { ($0.key.description, $0.value) })
    }

    @Test func `tables, keys and elements of tables have lines`() {
        let found = lines(
            """
            # a comment with [brackets] and a = sign
            top = 1
            [switch]   # and "quotes"
            name = "a # b" # ]]
              workers=2

            [[port]]
            name = 'C:\\'
            [[port]]
            type = "x"
            [port.sub]
            key = 1
            """)
        #expect(
            found == [
                "top": 2, "switch": 3, "switch.name": 4, "switch.workers": 5, "port": 7,
                "port[1]": 7, "port[1].name": 8, "port[2]": 9, "port[2].type": 10,
                "port[2].sub": 11, "port[2].sub.key": 12,
            ])
    }

    @Test func `strings of several lines hide what is in them`() {
        let found = lines(
            """
            a = \"\"\"
            b = 1 \\\"\"\" [x]
            two quotes end it: \"\"\"\"\"
            c = '''
            d = 2'''
            e = "\\"f = 3"
            """)
        #expect(found == ["a": 1, "c": 4, "e": 6])
    }

    @Test func `arrays and inline tables are walked into`() {
        let found = lines(
            """
            port = [ # first
              { name = "a", list = [1,
                2] },
              { name = "b" },

              [3],
            ]
            after.it = 1.5e-3 # a comment
            "quoted key" = 1
            """)
        #expect(
            found == [
                "port": 1, "port[1]": 2, "port[1].name": 2, "port[1].list": 2,
                "port[1].list[1]": 2, "port[1].list[2]": 3, "port[2]": 4, "port[2].name": 4,
                "port[3]": 6, "port[3][1]": 6, "after": 8, "after.it": 8, "\"quoted key\"": 9,
            ])
    }

    @Test func `every beginning of a text comes to an end`() {
        let text = Array(
            #"[a."b"]\#nc = [ { d = '''x''', "e" = "\u0000" }, 1, ]\#n[[f]]\#n"g = 1"#.utf8)
        for length in 0...text.count {
            _ = TOMLLineIndex(String(decoding: text[..<length], as: UTF8.self))
        }
    }

    @Test func `any bytes come to an end`() {
        let alphabet = Array("[]{}=,.\"'\\#\n a".utf8)
        var state: UInt64 = 42
        for _ in 0..<2000 {
            let text = (0..<24).map { _ in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return alphabet[Int(state >> 33) % alphabet.count]
            }
            _ = TOMLLineIndex(String(decoding: text, as: UTF8.self))
        }
    }
}
