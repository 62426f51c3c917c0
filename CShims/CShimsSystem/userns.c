#define _GNU_SOURCE
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

// The note: an environment variable that holds the process id, which exec does not change. A child
// that inherits the variable has another id, so the note speaks to this process alone.
static const char note_name[] = "RINGSWITCH_UNSHARE_PID";

static const char names_directory[] = "/run/netns";

static struct cshims_userns_outcome outcome;
static char **arguments;

static int write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    ssize_t written = write(fd, text, strlen(text));
    int result = written < 0 ? -errno : 0;
    close(fd);
    return result;
}

// The user becomes root inside. One id is all that an unprivileged process may map, and only after
// giving up setgroups(2) (user_namespaces(7)).
static int map_user_to_root(uid_t uid, gid_t gid) {
    char map[32];
    int result = write_file("/proc/self/setgroups", "deny");
    if (result < 0) return result;
    snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
    result = write_file("/proc/self/uid_map", map);
    if (result < 0) return result;
    snprintf(map, sizeof map, "0 %u 1", (unsigned)gid);
    return write_file("/proc/self/gid_map", map);
}

static struct cshims_userns_outcome enter_namespaces(void) {
    struct cshims_userns_outcome result = {.step = CSHIMS_USERNS_UNSHARE};
    const uid_t uid = geteuid();
    const gid_t gid = getegid();
    // Real root needs no user namespace, and without one keeps its rights over files. Root of a
    // container may lack CAP_SYS_ADMIN; it is then treated as any user.
    bool is_done = uid == 0 && unshare(CLONE_NEWNET) == 0;
    if (!is_done) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
            result.error = -errno;
            return result;
        }
        result.has_user_namespace = true;
        result.step = CSHIMS_USERNS_MAP;
        result.error = map_user_to_root(uid, gid);
        if (result.error < 0) return result;
    }
    result.step = CSHIMS_USERNS_MOUNT;
    result.error = cshims_mounts_unshare();
    if (result.error < 0) return result;
    result.step = CSHIMS_USERNS_DONE;
    return result;
}

__attribute__((constructor)) static void obey_note(int count, char **vector) {
    (void)count;
    arguments = vector;
    const char *note = getenv(note_name);
    if (note == NULL) return;
    const bool is_meant = strtol(note, NULL, 10) == getpid();
    unsetenv(note_name);
    if (!is_meant) return;
    // A change of credentials may clear the parent-death signal (prctl(2)); the parent still wants
    // it.
    int death_signal = 0;
    prctl(PR_GET_PDEATHSIG, &death_signal);
    outcome = enter_namespaces();
    prctl(PR_SET_PDEATHSIG, death_signal);
}

int cshims_userns_reexecute(void) {
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (setenv(note_name, pid, 1) < 0) return -errno;
    execv("/proc/self/exe", arguments);
    int error = -errno;
    unsetenv(note_name);
    return error;
}

struct cshims_userns_outcome cshims_userns_outcome(void) { return outcome; }

int cshims_mounts_unshare(void) {
    if (unshare(CLONE_NEWNS) < 0) return -errno;
    // Not private but slave: what the host mounts later still appears here, never the reverse.
    if (mount("", "/", "none", MS_SLAVE | MS_REC, NULL) < 0) return -errno;
    // sysfs shows the devices of the namespace that mounted it. Mounted on top, not instead: a user
    // namespace may not take the host's mount away.
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    return 0;
}

// MARK: Named namespaces

static int name_path(const char *name, char *path, size_t capacity) {
    const bool is_relative = !strcmp(name, ".") || !strcmp(name, "..");
    if (*name == 0 || strchr(name, '/') != NULL || is_relative) return -EINVAL;
    int length = snprintf(path, capacity, "%s/%s", names_directory, name);
    return length >= (int)capacity ? -ENAMETOOLONG : 0;
}

// Namespace mounts must spread to, and vanish from, the mount namespaces of others, or a name that
// was deleted would live on in them. iproute2 (ip/ipnetns.c) prepares the directory in the same
// way.
static int prepare_names_directory(void) {
    if (mkdir(names_directory, 0755) < 0 && errno != EEXIST) return -errno;
    if (mount("", names_directory, "none", MS_SHARED | MS_REC, NULL) == 0) return 0;
    if (errno != EINVAL) return -errno;  // EINVAL: it is not a mount point yet
    if (mount(names_directory, names_directory, "none", MS_BIND | MS_REC, NULL) < 0) return -errno;
    return mount("", names_directory, "none", MS_SHARED | MS_REC, NULL) < 0 ? -errno : 0;
}

struct birth {
    const char *path;
    int error;
};

// A thread may have a network namespace of its own: it makes one, pins it by the mount, and ends.
static void *give_birth(void *context) {
    struct birth *birth = context;
    if (unshare(CLONE_NEWNET) < 0 ||
        mount("/proc/thread-self/ns/net", birth->path, "none", MS_BIND, NULL) < 0) {
        birth->error = -errno;
    }
    return NULL;
}

int cshims_netns_create(const char *name) {
    char path[256];
    int result = name_path(name, path, sizeof path);
    if (result < 0) return result;
    result = prepare_names_directory();
    if (result < 0) return result;
    int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (fd < 0) return errno == EEXIST ? 0 : -errno;
    close(fd);

    struct birth birth = {.path = path};
    pthread_t thread;
    int error = pthread_create(&thread, NULL, give_birth, &birth);
    if (error == 0) pthread_join(thread, NULL);
    result = error != 0 ? -error : birth.error;
    if (result < 0) unlink(path);
    return result < 0 ? result : 1;
}

int cshims_netns_delete(const char *name) {
    char path[256];
    int result = name_path(name, path, sizeof path);
    if (result < 0) return result;
    // EINVAL: the name is a plain file that no namespace is mounted on.
    if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL) return -errno;
    return unlink(path) < 0 ? -errno : 0;
}
