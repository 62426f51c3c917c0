// Files that live in memory and travel between processes as descriptors.
#pragma once

/// A file without a path, close-on-exec and empty (memfd_create(2)); `name` shows in /proc only.
int cshims_memory_file_create(const char *name);
