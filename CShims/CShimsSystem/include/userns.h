// Network namespaces: one of the process's own, also for an ordinary user, and named ones.
//
// unshare(CLONE_NEWUSER) is refused to a process with more than one thread, and a Swift program may
// have threads before its first line runs. So the process leaves a note for itself and executes its
// own program again; a constructor of this file finds the note before any thread exists, and
// unshares. The process id stays the same, and with it everything that waits for the process.
#pragma once

#include <stdbool.h>
#include <stdint.h>

/// How far entering a namespace of the process's own came.
enum cshims_userns_step {
    CSHIMS_USERNS_NOT_ASKED = 0,  // the program was started in the ordinary way
    CSHIMS_USERNS_DONE = 1,       // the process is in namespaces of its own
    CSHIMS_USERNS_UNSHARE = 2,    // unshare(2) failed: -EPERM (forbidden), -ENOSPC (limit reached)
    CSHIMS_USERNS_MAP = 3,        // writing uid_map, gid_map or setgroups failed
    CSHIMS_USERNS_MOUNT = 4,      // making the mounts private failed
};

/// What the constructor did.
struct cshims_userns_outcome {
    int32_t step;               // enum cshims_userns_step
    int32_t error;              // -errno where the step failed, else 0
    bool has_user_namespace;    // the process is root in a user namespace of its own
};

/// Executes the running program again with the same arguments; the new image starts in a network
/// and mount namespace of its own, and in a user namespace too unless the process may do without.
/// Returns only on failure, with -errno.
int cshims_userns_reexecute(void);

/// What became of it; CSHIMS_USERNS_NOT_ASKED in a program that was not executed again.
struct cshims_userns_outcome cshims_userns_outcome(void);

/// Makes a named network namespace as `ip netns add` does: a bind mount in /run/netns. Returns 1 if
/// it was made, 0 if it exists already. -EPERM: no CAP_SYS_ADMIN.
int cshims_netns_create(const char *name);

/// Takes the name away; the namespace lives until its last user ends. -ENOENT: there is no such
/// name.
int cshims_netns_delete(const char *name);

/// Gives the calling process mounts of its own with a /sys that shows the devices of its network
/// namespace, as `ip netns exec` does. Safe between fork and exec. A /sys that cannot be mounted
/// (in a container it may be locked) is left as it is.
int cshims_mounts_unshare(void);
