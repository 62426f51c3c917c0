// MAC addresses: parsing, printing, kinds.

import SwitchCore
import Testing

@Suite struct MACAddressTests {
    @Test func `text and number agree in both directions`() throws {
        let address = try #require(MACAddress("02:1b:Cd:00:fF:7a"))
        #expect(address.rawValue == 0x021B_CD00_FF7A)
        #expect(address.description == "02:1b:cd:00:ff:7a")
        #expect(MACAddress("02-1b-cd-00-ff-7a") == address)
    }

    @Test(arguments: [
        "", "02:1b:cd:00:ff", "02:1b:cd:00:ff:7a:", "02:1b-cd:00:ff:7a", "021bcd00ff7a",
        "02:1b:cd:00:ff:7g", "2:1b:cd:00:ff:7a0", "02.1b.cd.00.ff.7a", "02:1b:cd:00:ff:+a",
    ])
    func `other text is refused`(text: String) {
        #expect(MACAddress(text) == nil)
    }

    @Test func `bits above the 48 are ignored`() {
        #expect(MACAddress(rawValue: .max) == .broadcast)
        #expect(MACAddress(rawValue: 0xFFFF_0000_0000_0000).isZero)
    }

    @Test func `the group bit is the lowest of the first octet`() {
        for bit in 0..<48 {
            let address = MACAddress(rawValue: 1 << UInt64(bit))
            #expect(address.isGroup == (bit == 40))
            #expect(!address.isBroadcast && !address.isZero && !address.isReserved)
        }
        #expect(MACAddress.broadcast.isGroup && MACAddress.broadcast.isBroadcast)
    }

    @Test func `sixteen addresses are reserved and their neighbours are not`() {
        for last in 0..<256 as Range<UInt64> {
            let address = MACAddress(rawValue: 0x0180_C200_0000 + last)
            #expect(address.isReserved == (last < 16))
        }
        #expect(!MACAddress(rawValue: 0x0180_C1FF_FFFF).isReserved)
        #expect(!MACAddress(rawValue: 0x0180_C200_0100).isReserved)
    }
}
