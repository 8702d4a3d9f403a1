/* Counting what the C library hands out: a library that is loaded before all others, and keeps the books of its process.

It stands in front of the C library's allocators, or of others that are preloaded behind it, and of anonymous maps. Until a
recording opens the books it only passes on. What Python's allocators take from the C library counts where Python's own hooks
count it. */

#define MEMKIT_COUNTS_C 1
#include "counting.c"

#include <dlfcn.h>

#define EXPORT __attribute__((visibility("default")))
#define HOOK EXPORT
#define NAMED(name) name
#define READY(name) (LIKELY(next.name != NULL) || (find(), next.name != NULL))

static void find(void);
static void *early_block(size_t size);
static int is_early(void *address);

#include "c_hooks.h"

/* What the search for the next functions allocates itself, and never gives back. */
static char early[1 << 16] __attribute__((aligned(16)));
static size_t early_used;
static volatile int finding;

static void *early_block(size_t size)
{
    size_t at = __atomic_fetch_add(&early_used, (size + 31) & ~(size_t)15, __ATOMIC_RELAXED);
    if (size > sizeof early || at > sizeof early - size - 16)
        return NULL;
    *(size_t *)(early + at) = size;
    return early + at + 16;
}

static int is_early(void *address)
{
    return (char *)address >= early && (char *)address < early + sizeof early;
}

static NOINLINE void find(void)
{
    if (__atomic_exchange_n(&finding, 1, __ATOMIC_ACQUIRE))
        return;                 /* the search itself allocates */
#define FIND(name) *(void **)&next.name = dlsym(RTLD_NEXT, #name)
    FIND(calloc), FIND(realloc), FIND(free), FIND(memalign), FIND(posix_memalign), FIND(aligned_alloc);
    FIND(valloc), FIND(pvalloc), FIND(mmap), FIND(munmap), FIND(mremap), FIND(malloc);
#undef FIND
    finding = 0;
}

__attribute__((constructor)) static void begin(void)
{
    find();
}

/* -- the books ----------------------------------------------------------------------------------------------------- */

EXPORT const memkit_books_t *memkit_heap_books(void)
{
    return &memkit_books;
}
