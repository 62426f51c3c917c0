// Drop reasons: a closed list with one name and one sentence each.

import SwitchCore
import Testing

@Suite struct DropReasonTests {
    @Test func `every reason has its own snake_case name and a sentence`() {
        let names = DropReason.allCases.map(\.name)
        #expect(Set(names).count == names.count)
        for reason in DropReason.allCases {
            #expect(reason.name.allSatisfy { $0 == "_" || ($0.isASCII && $0.isLowercase) })
            #expect(DropReason(name: reason.name) == reason)
            #expect(reason.summary.hasSuffix("."))
        }
        #expect(DropReason(name: "nonsense") == nil)
        #expect(DropReason.noEligiblePort.name == "no_eligible_port")
    }

    @Test(arguments: DropReason.allCases)
    func `a reason survives being packed in a verdict`(reason: DropReason) {
        let port = PortID(index: 1023)
        #expect(Verdict.drop(reason).reason == reason)
        #expect(Verdict.drop(reason).kind == .drop)
        #expect(Verdict.drop(reason, egress: port).reason == reason)
        #expect(Verdict.drop(reason, egress: port).egress == port)
        #expect(Verdict.unicast(to: port).reason == nil)
        #expect(Verdict.unicast(to: port).egress == port)
        #expect(Verdict.flood.kind == .flood)
    }
}
