// Reading gathered frames in tests.

import CShimsSystem

@testable import Dataplane

extension cshims_gather {
    /// A copy of the frame, in one piece.
    var bytes: [UInt8] {
        Array(unsafeUninitializedCapacity: length) { memory, count in
            if let start = memory.baseAddress { copy(to: start) }
            count = length
        }
    }
}
