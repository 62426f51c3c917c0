// Files in memory (memory.h).
#define _GNU_SOURCE
#include "memory.h"

#include <errno.h>
#include <sys/mman.h>

int cshims_memory_file_create(const char *name) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
