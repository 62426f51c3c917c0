// What a person is told when io_uring does not work: tried for real where that disturbs nobody else
// on the machine, and as a pure function of the system's facts where it would (the sysctl).

import Glibc
import IORing
import Testing

/// Sets a seccomp filter on the calling thread that answers io_uring_setup with an errno.
private func refuseSetup(with errno: Int32) -> Bool {
    #if arch(x86_64)
        let prctlNumber = 157
    #else
        let prctlNumber = 167
    #endif
    let setupNumber: UInt64 = 425  // io_uring_setup, on every architecture
    // struct sock_filter as a word: code, jt, jf, k (linux/filter.h; seccomp(2)).
    let program: [UInt64] = [
        0x20,  // load the number of the system call
        0x15 | 1 << 24 | setupNumber << 32,  // equal: next, else skip one
        0x06 | (0x5_0000 | UInt64(errno)) << 32,  // return SECCOMP_RET_ERRNO
        0x06 | 0x7FFF_0000 << 32,  // return SECCOMP_RET_ALLOW
    ]
    return program.withUnsafeBufferPointer { instructions in
        var header = (UInt64(instructions.count), UInt(bitPattern: instructions.baseAddress))
        return withUnsafeMutableBytes(of: &header) { header in
            // PR_SET_NO_NEW_PRIVS, then PR_SET_SECCOMP with SECCOMP_MODE_FILTER.
            rawSystemCall(prctlNumber, 38, 1, 0, 0, 0, 0) == 0
                && rawSystemCall(
                    prctlNumber, 22, 2, Int(bitPattern: header.baseAddress), 0, 0, 0) == 0
        }
    }
}

/// Makes the whole process an ordinary user; the kernel charges locked memory by user, so tests
/// take different ones.
private func becomeUser(_ identity: UInt32, lockedBytesLimit bytes: UInt) -> Bool {
    var limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
    return setrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0
        && setgid(identity) == 0 && setuid(identity) == 0
}

private func facts(_ change: (inout SystemFacts) -> Void) -> SystemFacts {
    var facts = SystemFacts()
    facts.release = "6.18.44"
    facts.sysctlDisabled = 0
    facts.sysctlGroup = -1
    change(&facts)
    return facts
}

@Suite struct ProbeTests {
    @Test func `this machine has everything`() throws {
        try Ring.probe()
    }

    @Test(arguments: [EPERM, ENOSYS])
    func `a seccomp filter is recognised and named`(errno: Int32) {
        let answer = Handover<RingError?>(nil)
        onOwnThread {
            guard refuseSetup(with: errno) else { return }
            do throws(RingError) { try Ring.probe() } catch { answer.value = error }
        }
        #expect(answer.value == .blockedByFilter(errno: errno))
        let text = answer.value?.description ?? ""
        #expect(text.contains("seccomp filter") && text.contains("--security-opt seccomp="))
    }

    @Test(.enabled(if: isRoot, "root can become another user"))
    func `an ordinary user may use io_uring within the usual limit of locked memory`() async {
        await #expect(processExitsWith: .success) {
            precondition(becomeUser(65_531, lockedBytesLimit: 8 << 20))
            try Ring.probe()
            // The rings of a busy switch fit too.
            _ = try Ring(submissionEntries: 4096, completionEntries: 32_768, fileSlots: 64)
        }
    }

    @Test(.enabled(if: isRoot, "root can become another user"))
    func `a user whose locked memory is too little is told the limit`() async {
        await #expect(processExitsWith: .success) {
            precondition(becomeUser(65_532, lockedBytesLimit: 4096))
            do throws(RingError) {
                try Ring.probe()
            } catch {
                precondition(error == .outOfMemory(call: "io_uring_setup", lockedBytesLimit: 4096))
                return
            }
            preconditionFailure("the kernel charged nothing")
        }
    }

    @Test func `a file table beyond the descriptor limit names the limit`() async {
        await #expect(processExitsWith: .success) {
            var limit = rlimit(rlim_cur: 64, rlim_max: 64)
            precondition(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
            do throws(RingError) {
                _ = try Ring(submissionEntries: 8, completionEntries: 8, fileSlots: 1024)
            } catch {
                precondition(
                    error.description
                        == "io_uring_register (1024 file slots) failed: the limit of 64 open files "
                        + "(RLIMIT_NOFILE) is too low; raise it with `ulimit -n`, or LimitNOFILE= "
                        + "in a systemd unit")
                return
            }
            preconditionFailure("the kernel took the table")
        }
    }

    @Test func `the sysctl that forbids io_uring to everybody is named with its remedy`() {
        let refused = facts { $0.sysctlDisabled = 2 }
        #expect(
            RingError.setupRefused(status: -EPERM, on: refused).description
                == "io_uring is disabled: kernel.io_uring_disabled = 2 forbids it to every process"
                + "; `sysctl kernel.io_uring_disabled=0` as root enables it")
    }

    @Test func `the sysctl that allows io_uring to a few names them`() {
        var refused = facts { $0.sysctlDisabled = 1 }
        #expect(
            RingError.setupRefused(status: -EPERM, on: refused).description
                == "io_uring is disabled: kernel.io_uring_disabled = 1 allows it only with "
                + "CAP_SYS_ADMIN (kernel.io_uring_group names no group); "
                + "`sysctl kernel.io_uring_disabled=0` as root enables it")
        refused.sysctlGroup = 998
        #expect(
            RingError.setupRefused(status: -EPERM, on: refused).description
                == "io_uring is disabled: kernel.io_uring_disabled = 1 allows it only with "
                + "CAP_SYS_ADMIN or to members of group 998 (kernel.io_uring_group); "
                + "`sysctl kernel.io_uring_disabled=0` as root enables it")
        refused.isAdministrator = true
        refused.isFiltered = true
        #expect(
            RingError.setupRefused(status: -EPERM, on: refused) == .blockedByFilter(errno: EPERM))
    }

    @Test func `what neither sysctl nor filter forbids, a security module does`() {
        #expect(
            RingError.setupRefused(status: -EPERM, on: facts { _ in }) == .blockedBySecurityModule)
        #expect(
            RingError.setupRefused(status: -EPERM, on: facts { $0.sysctlDisabled = nil })
                == .blockedBySecurityModule)
    }

    @Test func `a kernel without io_uring is named, filter or not`() {
        for isFiltered in [false, true] {
            let old = facts {
                $0.release = "4.19.0"
                $0.sysctlDisabled = nil
                $0.isFiltered = isFiltered
            }
            #expect(
                RingError.setupRefused(status: -ENOSYS, on: old).description
                    == "kernel 4.19.0 has no io_uring (ENOSYS): ringswitch needs Linux 6.1 or newer"
                    + ", built with CONFIG_IO_URING")
        }
    }

    @Test func `missing memory names the limit if there is one`() {
        let limited = facts { $0.lockedBytesLimit = 64 * 1024 }
        #expect(
            RingError.setupRefused(status: -ENOMEM, on: limited).description
                == "io_uring_setup failed: out of memory (ENOMEM); locked memory is limited to "
                + "64 KiB (RLIMIT_MEMLOCK): raise it with `ulimit -l`, or LimitMEMLOCK= in a "
                + "systemd unit")
        #expect(
            RingError.setupRefused(status: -ENOMEM, on: facts { _ in }).description
                == "io_uring_setup failed: out of memory (ENOMEM)")
    }

    @Test func `a missing feature names itself and the kernel that has it`() {
        let error = RingError.featureMissing(
            "IORING_SETUP_DEFER_TASKRUN", since: "6.1", release: "5.19.0")
        #expect(
            error.description
                == "kernel 5.19.0 lacks IORING_SETUP_DEFER_TASKRUN (new in Linux 6.1): ringswitch "
                + "needs Linux 6.1 or newer")
    }

    @Test func `other failures carry the system's own words`() {
        #expect(
            RingError.setupRefused(status: -EFAULT, on: facts { _ in }).description
                == "io_uring_setup failed: Bad address (errno 14)")
    }

    @Test func `facts of the thread are read from the text of proc`() {
        var facts = SystemFacts()
        facts.adopt(threadStatus: "Name:\tx y\nCapEff:\t000001ffffffffff\nSeccomp:\t2\nfoo\n")
        #expect(facts.isAdministrator && facts.isFiltered)
        facts.adopt(threadStatus: "CapEff:\t0000000000000000\nSeccomp:\t0\nSeccomp_filters:\t2\n")
        #expect(!facts.isAdministrator && !facts.isFiltered)
        let here = SystemFacts.read()
        #expect(here.release != "unknown")
        #expect(here.descriptorLimit > 0)
    }
}
