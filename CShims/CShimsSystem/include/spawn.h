// Child processes that enter namespaces, end with their parent, and are waited for by descriptor;
// and signals as a descriptor, so that one poll() waits for everything.
#pragma once

#include <stdbool.h>
#include <stdint.h>

/// The step at which starting a child stopped.
enum cshims_spawn_step {
    CSHIMS_SPAWN_DONE = 0,
    CSHIMS_SPAWN_FORK = 1,       // fork or pidfd_open
    CSHIMS_SPAWN_NAMESPACE = 2,  // setns, or the mounts of its own
    CSHIMS_SPAWN_EXECUTE = 3,    // execvp: -ENOENT, -EACCES
};

/// How a child is to be started. A descriptor of -1 means: as the parent has it.
struct cshims_spawn {
    const char *program;         // looked up in PATH; NULL: the first argument
    char *const *arguments;      // NULL-terminated
    int32_t user_namespace;      // nsfs descriptor to enter first
    int32_t network_namespace;   // nsfs descriptor to enter; /sys then shows its devices
    int32_t standard_input;
    int32_t standard_output;
    int32_t standard_error;
    int32_t death_signal;        // sent to the child when the calling thread ends; 0: none
    bool has_own_process_group;  // a terminal's Ctrl-C then reaches the parent alone
};

/// A child: reap it with `cshims_process_reap` once `pidfd` polls readable, then close `pidfd`.
struct cshims_process {
    int32_t pid;
    int32_t pidfd;  // close-on-exec
    int32_t step;   // enum cshims_spawn_step: where it failed
};

/// Starts a child with no signal blocked. Returns when the child runs its program: a program that
/// cannot be executed is an error here, -errno.
int cshims_process_spawn(const struct cshims_spawn *spawn, struct cshims_process *process);

/// Sends a signal; to the child's process group where `to_group` is set.
int cshims_process_signal(int32_t pid, int32_t signal, bool to_group);

/// Reaps a child that has ended: its exit code, 128 + signal if a signal ended it. -EAGAIN: it
/// runs.
int cshims_process_reap(int32_t pid);

/// Blocks SIGINT, SIGTERM and SIGHUP for the calling thread and those it starts later, and returns
/// a signalfd of them: close-on-exec, non-blocking.
int cshims_signals_open(void);

/// Takes one signal: its number, 0 if there is none. `from_terminal` says that the kernel sent it,
/// to the whole foreground process group.
int cshims_signals_take(int signals, bool *from_terminal);
