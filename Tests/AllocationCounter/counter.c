// Each thread counts in a place of its own, found through a thread-local pointer; a place is never
// given back, so that no count is lost when a thread ends.
#define _GNU_SOURCE
#include "AllocationCounter.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#endif

#ifdef IS_SANITIZED

bool allocation_counter_works(void) { return false; }

int64_t allocation_counter_count(int32_t thread) {
    (void)thread;
    return -1;
}

#else

enum { PLACES = 16384 };

struct place {
    _Atomic int32_t thread;
    _Atomic int64_t count;
};

static struct place places[PLACES];
static _Atomic int32_t taken;
static _Thread_local struct place *own __attribute__((tls_model("initial-exec")));

// glibc's own entry points, behind the names that are replaced below.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

static void note(void) {
    if (own == NULL) {
        const int32_t index = atomic_fetch_add(&taken, 1);
        own = &places[index < PLACES ? index : PLACES - 1];
        atomic_store(&own->thread, gettid());
    }
    atomic_fetch_add_explicit(&own->count, 1, memory_order_relaxed);
}

void *malloc(size_t size) {
    note();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    note();
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    note();
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    note();
    void *result = __libc_memalign(alignment, size);
    if (result == NULL) return ENOMEM;
    *memory = result;
    return 0;
}

void free(void *memory) { __libc_free(memory); }

bool allocation_counter_works(void) { return true; }

int64_t allocation_counter_count(int32_t thread) {
    const int32_t count = atomic_load(&taken);
    // The latest place first: the kernel uses the ids of threads again.
    for (int32_t index = (count < PLACES ? count : PLACES) - 1; index >= 0; index--) {
        if (atomic_load(&places[index].thread) == thread) return atomic_load(&places[index].count);
    }
    return -1;
}

#endif
