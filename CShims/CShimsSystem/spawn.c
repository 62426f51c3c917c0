// Children by fork and exec with namespaces between the two, and signals by descriptor.

#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userns.h"

struct failure {
    int32_t step;
    int32_t error;
};

static int become(int descriptor, int standard) {
    if (descriptor < 0) return 0;
    // dup2 of a descriptor onto itself would leave close-on-exec set.
    if (descriptor == standard) return fcntl(descriptor, F_SETFD, 0);
    return dup2(descriptor, standard);
}

// Runs between fork and exec, where only async-signal-safe calls are allowed.
static struct failure prepare_child(const struct cshims_spawn *spawn, pid_t parent) {
    struct failure failure = {.step = CSHIMS_SPAWN_FORK};
    if (spawn->has_own_process_group && setpgid(0, 0) < 0) goto failed;
    failure.step = CSHIMS_SPAWN_NAMESPACE;
    if (spawn->user_namespace >= 0 && setns(spawn->user_namespace, CLONE_NEWUSER) < 0) goto failed;
    if (spawn->network_namespace >= 0) {
        if (setns(spawn->network_namespace, CLONE_NEWNET) < 0) goto failed;
        failure.error = cshims_mounts_unshare();
        if (failure.error < 0) return failure;
    }
    failure.step = CSHIMS_SPAWN_EXECUTE;
    // After the change of credentials, which clears it.
    if (spawn->death_signal != 0 && prctl(PR_SET_PDEATHSIG, spawn->death_signal) < 0) goto failed;
    // A parent that ended before the prctl sends nothing.
    if (spawn->death_signal != 0 && getppid() != parent) _exit(128 + spawn->death_signal);
    if (become(spawn->standard_input, STDIN_FILENO) < 0) goto failed;
    if (become(spawn->standard_output, STDOUT_FILENO) < 0) goto failed;
    if (become(spawn->standard_error, STDERR_FILENO) < 0) goto failed;
    signal(SIGPIPE, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvp(spawn->program ? spawn->program : spawn->arguments[0], spawn->arguments);
failed:
    failure.error = -errno;
    return failure;
}

int cshims_process_spawn(const struct cshims_spawn *spawn, struct cshims_process *process) {
    *process = (struct cshims_process){.pid = -1, .pidfd = -1, .step = CSHIMS_SPAWN_FORK};
    int report[2];  // closed by a successful exec: an empty report is success
    if (pipe2(report, O_CLOEXEC) < 0) return -errno;
    const pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        struct failure failure = prepare_child(spawn, parent);
        ssize_t ignored = write(report[1], &failure, sizeof failure);
        (void)ignored;
        _exit(127);
    }
    int error = -errno;
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        return error;
    }
    struct failure failure = {.step = CSHIMS_SPAWN_DONE};
    ssize_t length;
    do {
        length = read(report[0], &failure, sizeof failure);
    } while (length < 0 && errno == EINTR);
    close(report[0]);
    long pidfd = -1;
    if (length == 0) {
        // The pid is the child's own until it is reaped here.
        pidfd = syscall(SYS_pidfd_open, pid, 0);
        if (pidfd < 0) {
            failure = (struct failure){.step = CSHIMS_SPAWN_FORK, .error = -errno};
            kill(pid, SIGKILL);
        }
    }
    process->step = failure.step;
    if (pidfd < 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
        // A child that was killed before it could report leaves a short read and no error.
        return failure.error < 0 ? failure.error : -ECHILD;
    }
    process->pid = pid;
    process->pidfd = (int32_t)pidfd;
    return 0;
}

int cshims_process_signal(int32_t pid, int32_t signal, bool to_group) {
    return kill(to_group ? -pid : pid, signal) < 0 ? -errno : 0;
}

int cshims_process_reap(int32_t pid) {
    int status;
    pid_t reaped;
    do {
        reaped = waitpid(pid, &status, WNOHANG);
    } while (reaped < 0 && errno == EINTR);
    if (reaped < 0) return -errno;
    if (reaped == 0) return -EAGAIN;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int cshims_signals_open(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (error != 0) return -error;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int cshims_signals_take(int signals, bool *from_terminal) {
    struct signalfd_siginfo info;
    ssize_t length = read(signals, &info, sizeof info);
    if (length < 0) return errno == EAGAIN ? 0 : -errno;
    *from_terminal = info.ssi_code == SI_KERNEL;
    return (int)info.ssi_signo;
}
