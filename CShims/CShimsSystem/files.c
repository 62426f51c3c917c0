// Files by descriptor and without following links (files.h).
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int cshims_file_reference(const char *path) {
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cshims_file_set_mode(int reference, uint32_t mode) {
    // fchmod() refuses such a descriptor, and fchmodat() has no AT_EMPTY_PATH before Linux 6.6.
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", reference);
    return chmod(path, mode) < 0 ? -errno : 0;
}

int cshims_file_set_owner(int reference, uint32_t user, uint32_t group) {
    return fchownat(reference, "", user, group, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int cshims_file_remove(const char *path) {
    return unlink(path) < 0 ? -errno : 0;
}

int cshims_file_lock(int descriptor) {
    return flock(descriptor, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}
