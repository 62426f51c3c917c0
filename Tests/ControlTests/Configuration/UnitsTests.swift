import Testing

@testable import Control

/// The small readers of text: sizes, times, addresses, misspelt words.
@Suite struct UnitsTests {
    @Test(arguments: [
        ("0", 0), ("1500", 1500), ("1500B", 1500), ("64KiB", 65536), ("1MiB", 1_048_576),
        ("2GiB", 2_147_483_648), ("9kB", 9000), ("3MB", 3_000_000), ("1GB", 1_000_000_000),
    ])
    func `a size is read`(text: String, bytes: Int) {
        #expect(ByteSize.parse(text) == bytes)
    }

    @Test(arguments: [
        "", " ", "KiB", "1 KiB", "-1", "+1", "1.5MiB", "0x10", "1_000", "1KB", "1kib", "1M", "1K ",
        "9223372036854775808", "9007199254740993KiB", "١KiB",
    ])
    func `what is no size is not read`(text: String) {
        #expect(ByteSize.parse(text) == nil)
    }

    @Test(arguments: [
        ("1KB", "1kB"), ("1 MiB", "1MiB"), ("4m", "4MiB"), ("64kib", "64KiB"), ("1_000", nil),
        ("1_000 bytes", "1000B"), ("much", nil), ("1TiB", nil),
    ])
    func `a size in a wrong spelling is understood`(text: String, meant: String?) {
        #expect(ByteSize.correction(of: text) == meant)
    }

    @Test(arguments: [0, 1, 1000, 1023, 1024, 1536, 1 << 20, 3 << 29, 1 << 30, Int.max])
    func `a size is printed as it is read`(bytes: Int) {
        #expect(ByteSize.parse(ByteSize.format(bytes)) == bytes)
    }

    @Test(arguments: [
        ("50us", 50_000), ("5ms", 5_000_000), ("300s", 300_000_000_000),
        ("2m", 120_000_000_000), ("1h", 3_600_000_000_000), ("0s", 0),
    ])
    func `a duration is read`(text: String, nanoseconds: Int) {
        #expect(TimeSpan.parse(text) == nanoseconds)
    }

    @Test(arguments: ["", "300", "s", "5 ms", "-5s", "1.5s", "5S", "1d", "5µs", "2562048h"])
    func `what is no duration is not read`(text: String) {
        #expect(TimeSpan.parse(text) == nil)
    }

    @Test(arguments: [
        ("300", "300s"), ("5 ms", "5ms"), ("5MS", "5ms"), ("5sec", "5s"), ("2min", "2m"),
        ("50µs", "50us"), ("soon", nil), ("1 week", nil),
    ])
    func `a duration in a wrong spelling is understood`(text: String, meant: String?) {
        #expect(TimeSpan.correction(of: text) == meant)
    }

    @Test(arguments: [1000, 999_000, 5_000_000, 90 * TimeSpan.second, 7200 * TimeSpan.second])
    func `a duration is printed as it is read`(nanoseconds: Int) {
        #expect(TimeSpan.parse(TimeSpan.format(nanoseconds)) == nanoseconds)
    }

    @Test(arguments: [
        ("max_fram", "max_frame"), ("maxframe", "max_frame"), ("Max-Frame", "max_frame"),
        ("tpye", "type"), ("mut", "mtu"), ("x", nil), ("", nil), ("colour", nil),
        ("queue_byte", "queue_bytes"),
    ])
    func `the nearest word is the one that was meant`(word: String, meant: String?) {
        let keys = ["max_frame", "type", "mtu", "queue_bytes", "queue_delay", "name", "netns"]
        #expect(Spelling.nearest(to: word, among: keys) == meant)
    }

    @Test(arguments: [
        ("192.168.127.1/24", "192.168.127.1/24"), ("10.0.0.1/0", "10.0.0.1/0"),
        ("10.0.0.1/32", "10.0.0.1/32"), ("FD00:0:0::1/64", "fd00::1/64"),
        ("fe80::1/128", "fe80::1/128"), ("::ffff:10.0.0.1/96", "::ffff:10.0.0.1/96"),
    ])
    func `an address is read and printed`(text: String, printed: String) {
        #expect(InterfaceAddress(text)?.description == printed)
    }

    @Test(arguments: [
        "", "/", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/+8",
        "10.0.0.1/8/8", "10.0.0/8", "010.0.0.1/8", " 10.0.0.1/8", "fd00::1/129", "fd00::1%eth0/64",
        "0.0.0.0/0", "127.0.0.1/8", "224.0.0.1/4", "::/0", "::1/128", "ff02::1/64",
    ])
    func `what no device can have is no address`(text: String) {
        #expect(InterfaceAddress(text) == nil)
    }
}
