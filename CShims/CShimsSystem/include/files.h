// Files by descriptor: what must not be redirected by whoever may rename in the directory.
#pragma once

#include <stdint.h>

/// A descriptor that only names the file at `path`, of any type, a symbolic link itself (O_PATH).
int cshims_file_reference(const char *path);

/// Sets the permission bits of a file held by `cshims_file_reference`. Needs /proc.
int cshims_file_set_mode(int reference, uint32_t mode);

/// Sets user and group of a file held by `cshims_file_reference`; UINT32_MAX leaves one as it is.
int cshims_file_set_owner(int reference, uint32_t user, uint32_t group);

/// Removes a file's name.
int cshims_file_remove(const char *path);

/// Takes an exclusive flock(2) without waiting. -EWOULDBLOCK: another process holds it.
int cshims_file_lock(int descriptor);
