// The list of connections that need attention.

import Testing

@testable import Dataplane

@Suite struct ConnectionListTests {
    /// Addresses stand for connections; the list never looks behind them.
    private func connection(_ number: Int) throws -> UnsafeMutablePointer<Connection> {
        try #require(UnsafeMutablePointer<Connection>(bitPattern: 4096 * number))
    }

    @Test func `it keeps what was appended and fills the place of what is removed`() throws {
        var list = ConnectionList(capacity: 3)
        for number in 1...3 { list.append(try connection(number)) }
        list.remove(at: 0)
        var count = list.count
        #expect(count == 2)
        var places = [list[0], list[1]]
        #expect(places == [try connection(3), try connection(2)])
        list.remove(at: 1)
        places = [list[0]]
        #expect(places == [try connection(3)])
        list.append(try connection(1))
        list.remove(at: 0)
        list.remove(at: 0)
        count = list.count
        #expect(count == 0)
    }

    @Test func `more connections than it has room for are a fault of the program`() async {
        await #expect(processExitsWith: .failure) {
            var list = ConnectionList(capacity: 1)
            guard let one = UnsafeMutablePointer<Connection>(bitPattern: 4096) else { return }
            list.append(one)
            list.append(one)
        }
    }
}
