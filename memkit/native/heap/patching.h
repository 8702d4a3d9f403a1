/* Counting what the C library hands out in a program that runs already: the tables by which what is loaded calls it are led to
the hooks. Included by own.pyx alone.

Nothing is taken back: the hooks pass on what does not count. Left out are the loader, what the kernel maps, and memkit itself,
and entries that lead elsewhere already. What is loaded later is looked for where the loader's count of additions has changed: at
flushes, and when Python looks a function up, as it does in each library that it has loaded. No lock of the loader is asked for
but that of its list, which it holds for moments only: another thread may be loading for long.

While the list is held no library is unmapped, but one may just be being relocated. So an entry is replaced only where it leads
to the C library, or to the loader that is to look it up, and memory that is sealed after relocation only where it is sealed. */

#include "patching_tables.h"

#ifdef MEMKIT_CAN_PATCH

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#define HOOK static
#define NAMED(name) memkit_c_##name
#define READY(name) 1
#define early_block(size) NULL
#define is_early(block) 0
#include "c_hooks.h"

static void *(*next_dlsym)(void *, const char *);
static void *memkit_c_dlsym(void *handle, const char *name);

#define OF_C(name) {#name, (void *)memkit_c_##name}
static const struct {
    const char *name;
    void *hook;
} hooks_of_c[] = {
    OF_C(malloc), OF_C(calloc), OF_C(realloc), OF_C(free), OF_C(memalign), OF_C(posix_memalign), OF_C(aligned_alloc),
    OF_C(mmap), OF_C(munmap), OF_C(mremap), OF_C(dlsym), OF_C(valloc), OF_C(pvalloc), OF_C(reallocarray), OF_C(free_sized),
    OF_C(free_aligned_sized), OF_C(mmap64),
};
enum { MALLOC, CALLOC, REALLOC, FREE, MEMALIGN, POSIX_MEMALIGN, ALIGNED_ALLOC, MMAP, MUNMAP, MREMAP, DLSYM, VALLOC, PVALLOC,
       REALLOCARRAY, FREE_SIZED, FREE_ALIGNED_SIZED };
enum { HOOKS_OF_C = sizeof hooks_of_c / sizeof *hooks_of_c, NEEDED = DLSYM, MOST_LIBRARIES = 1 << 14, MOST_MAPPINGS = 1 << 17 };
enum { LEARNED = 1, DONE = 2 };         /* what is known of a library, beside its address */

typedef struct {
    uintptr_t from, to;
    int writable;
} mapping_t;

static void *of_c[HOOKS_OF_C];  /* the functions that are hooked; NULL: there is none */

static struct {
    volatile int lock;          /* held while the loader's list is, and by who forks */
    int ready;                  /* the functions are known */
    int definers;               /* libraries that have allocators of these names */
    int unsettled;              /* a library was being relocated */
    unsigned long long added, removed;  /* the loader's counts when all was patched */
    uintptr_t *known;
    int known_count;
    mapping_t *mappings;        /* of this process, read at most once a search */
    int mapping_count;
    const char *folder;         /* of memkit's compiled modules */
    size_t folder_length;
    const void *python;         /* in the library or program that has the interpreter */
} patches;

/* -- memory that is sealed ----------------------------------------------------------------------------------------- */

static void add_mapping(const char *line)
{
    char *rest;
    mapping_t *mapping = &patches.mappings[patches.mapping_count];
    if (patches.mapping_count == MOST_MAPPINGS)
        return;
    mapping->from = strtoul(line, &rest, 16);
    mapping->to = strtoul(rest + 1, &rest, 16);
    mapping->writable = rest[2] == 'w';
    patches.mapping_count++;
}

static void read_mappings(void)
{
    static char text[1 << 14];
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t held = 0;
    ssize_t got;
    if (!made_once((void **)&patches.mappings, MOST_MAPPINGS * sizeof *patches.mappings) || file < 0)
        return;
    while ((got = read(file, text + held, sizeof text - 1 - held)) > 0) {
        char *line = text, *end;
        held += got;
        text[held] = 0;
        while ((end = strchr(line, '\n'))) {
            add_mapping(line);
            line = end + 1;
        }
        held -= line - text;
        memmove(text, line, held);
    }
    close(file);
}

/* Whether all of a stretch is mapped and none of it writable. */
static int is_sealed(uintptr_t from, uintptr_t to)
{
    int low = 0, high;
    if (!patches.mapping_count)
        read_mappings();
    high = patches.mapping_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (patches.mappings[middle].to <= from)
            low = middle + 1;
        else
            high = middle;
    }
    for (; from < to && low < patches.mapping_count; from = patches.mappings[low++].to)
        if (patches.mappings[low].from > from || patches.mappings[low].writable)
            return 0;
    return from >= to;
}

/* -- one library --------------------------------------------------------------------------------------------------- */

static int hook_named(const char *name)
{
    if (!strchr("mcrfapvd", *name))
        return -1;
    for (int which = 0; which < HOOKS_OF_C; which++)
        if (!strcmp(hooks_of_c[which].name, name))
            return which;
    return -1;
}

static int is_called(const library_t *library, const char *name)
{
    const char *slash = strrchr(library->path, '/');
    return !strncmp(slash ? slash + 1 : library->path, name, strlen(name));
}

/* Whether it is Python, or one of the modules by which a program looks functions up. */
static int looks_up(const library_t *library)
{
    return holds(library, (uintptr_t)patches.python) || is_called(library, "_ctypes") || is_called(library, "_cffi_backend");
}

static int is_left_out(const library_t *library)
{
    return is_called(library, "ld-linux") || holds(library, getauxval(AT_SYSINFO_EHDR))
        || (library->base && library->base == getauxval(AT_BASE))
        || !strncmp(library->path, patches.folder, patches.folder_length);
}

enum { ELSEWHERE, TO_C, UNBOUND, UNSETTLED };

/* Where an entry leads. One that was not used yet leads to the loader, by way of the library itself. */
static int leads(const library_t *library, const entry_in_t *entry, int which)
{
    uintptr_t to = (uintptr_t)__atomic_load_n(entry->place, __ATOMIC_RELAXED);
    if (to == (uintptr_t)of_c[which])
        return TO_C;
    if (entry->is_call && !entry->is_defined && holds(library, to))
        return patches.definers > 1 ? UNBOUND : TO_C;   /* else it depends on who has loaded it, and how */
    return library->base && to < library->end - library->start ? UNSETTLED : ELSEWHERE;
}

static int frees(int which)
{
    return which == FREE || which == REALLOC || which == MUNMAP || which == MREMAP || which == REALLOCARRAY
        || which == FREE_SIZED || which == FREE_ALIGNED_SIZED;
}

enum { NONE_YET, THOSE_THAT_FREE, ALL };

/* Go through the entries of one library, and replace those that lead to the C library if that is wanted.

Returns how many there are, in `sealed` how many of them are sealed; -UNBOUND: none can be, since what frees could not be
replaced; -UNSETTLED: it is being relocated. */
static int go_through(const library_t *library, int replaced, int *sealed)
{
    entries_t at = {0};
    entry_in_t entry;
    int found = 0, unbound = 0;
    while (next_entry(library, &at, &entry)) {
        int which = hook_named(entry.name);
        if (which < 0 || !of_c[which] || (which == DLSYM && !looks_up(library)))
            continue;
        switch (leads(library, &entry, which)) {
        case TO_C:
            found++;
            *sealed += is_in_sealed(library, (uintptr_t)entry.place);
            if (replaced == ALL || (replaced == THOSE_THAT_FREE && frees(which)))
                __atomic_store_n(entry.place, hooks_of_c[which].hook, __ATOMIC_RELEASE);
            break;
        case UNBOUND:
            unbound |= frees(which);
            break;
        case UNSETTLED:
            return -UNSETTLED;
        }
    }
    return unbound ? -UNBOUND : found;
}

/* 1; 0: it is to be tried again, as more is loaded, or if it is `unsettled` soon. */
static int patch_library(const library_t *library)
{
    int sealed = 0, found = go_through(library, NONE_YET, &sealed);
    size_t size = library->sealed_end - library->sealed;
    if (found == -UNSETTLED || (sealed && !is_sealed(library->sealed, library->sealed_end))) {
        patches.unsettled = 1;
        return 0;
    }
    if (found <= 0)
        return found == 0;
    if (sealed && mprotect((void *)library->sealed, size, PROT_READ | PROT_WRITE))
        return 1;               /* the system does not want it: it is left as it is */
    go_through(library, THOSE_THAT_FREE, &sealed);      /* first: a thread may allocate and free here meanwhile */
    go_through(library, ALL, &sealed);
    if (sealed)
        mprotect((void *)library->sealed, size, PROT_READ);
    return 1;
}

/* -- all of them --------------------------------------------------------------------------------------------------- */

static uintptr_t *known_library(const library_t *library)
{
    uintptr_t key = (uintptr_t)library->dynamic;
    for (int i = 0; i < patches.known_count; i++)
        if ((patches.known[i] & ~(uintptr_t)(LEARNED | DONE)) == key)
            return &patches.known[i];
    if (patches.known_count == MOST_LIBRARIES)
        return NULL;
    patches.known[patches.known_count] = key;
    return &patches.known[patches.known_count++];
}

/* Who has the functions: the first one that is loaded, as for all that are looked up everywhere. */
static int learn(struct dl_phdr_info *info, size_t size, void *unused)
{
    library_t library;
    uintptr_t *known;
    (void)size, (void)unused;
    if (!read_library(info, &library) || is_left_out(&library) || !(known = known_library(&library)) || *known & LEARNED)
        return 0;
    *known |= LEARNED;
    patches.definers += !library.hashes || defined_in(&library, "free") || defined_in(&library, "malloc");
    for (int which = 0; which < HOOKS_OF_C && library.hashes && !patches.ready; which++)
        if (!of_c[which])
            of_c[which] = defined_in(&library, hooks_of_c[which].name);
    return 0;
}

static int patch_one(struct dl_phdr_info *info, size_t size, void *unused)
{
    library_t library;
    uintptr_t *known;
    (void)size, (void)unused;
    if (!read_library(info, &library) || is_left_out(&library) || !(known = known_library(&library)))
        return 0;
    if ((*known & (LEARNED | DONE)) == LEARNED && patch_library(&library))
        *known |= DONE;
    return 0;
}

static int get_ready(void)
{
    for (int which = 0; which < NEEDED; which++)
        if (!of_c[which])
            return 0;
    *(void **)&next.malloc = of_c[MALLOC], *(void **)&next.calloc = of_c[CALLOC], *(void **)&next.realloc = of_c[REALLOC];
    *(void **)&next.free = of_c[FREE], *(void **)&next.memalign = of_c[MEMALIGN], *(void **)&next.mmap = of_c[MMAP];
    *(void **)&next.posix_memalign = of_c[POSIX_MEMALIGN], *(void **)&next.aligned_alloc = of_c[ALIGNED_ALLOC];
    *(void **)&next.munmap = of_c[MUNMAP], *(void **)&next.mremap = of_c[MREMAP], *(void **)&next_dlsym = of_c[DLSYM];
    *(void **)&next.valloc = of_c[VALLOC], *(void **)&next.pvalloc = of_c[PVALLOC];
    return 1;
}

static int read_counts(struct dl_phdr_info *info, size_t size, void *into)
{
    unsigned long long *counts = into;
    (void)size;
    counts[0] = info->dlpi_adds, counts[1] = info->dlpi_subs;
    return 1;                   /* the same for each library */
}

static void search(void)
{
    unsigned long long counts[2] = {0};
    dl_iterate_phdr(read_counts, counts);
    if (counts[0] == patches.added && counts[1] == patches.removed)
        return;
    if (counts[1] != patches.removed)
        patches.known_count = patches.definers = 0;     /* another one may be where one was */
    patches.mapping_count = patches.unsettled = 0;
    dl_iterate_phdr(learn, NULL);
    if (patches.ready || (patches.ready = get_ready()))
        dl_iterate_phdr(patch_one, NULL);
    if (!patches.unsettled)
        patches.added = counts[0], patches.removed = counts[1];
}

static void before_fork_of_patches(void)
{
    lock(&patches.lock);        /* the list of the loader must not be held by a thread that the child has not */
}

static void after_fork_of_patches(void)
{
    unlock(&patches.lock);
}

/* Lead what is loaded, and was not yet, to the hooks. 1; 0: that cannot be done here. */
static int memkit_patch(void)
{
    static int at_forks;
    int before = errno;
    Dl_info self;
    if (__atomic_exchange_n(&patches.lock, 1, __ATOMIC_ACQUIRE))
        return patches.ready;   /* another thread does it */
    if (!at_forks)
        at_forks = !pthread_atfork(before_fork_of_patches, after_fork_of_patches, after_fork_of_patches);
    if (!patches.folder && dladdr(&patches, &self)) {
        const char *end = strstr(self.dli_fname, "/heap/own.");
        patches.folder_length = end ? (size_t)(end + 1 - self.dli_fname) : strlen(self.dli_fname);
        patches.folder = self.dli_fname;
        patches.python = (const void *)PyMem_GetAllocator;
    }
    if (patches.folder && made_once((void **)&patches.known, MOST_LIBRARIES * sizeof *patches.known))
        search();
    unlock(&patches.lock);
    errno = before;
    return patches.ready;
}

/* What is looked up may just have been loaded; and who looks an allocator up gets the hook, as who calls it by a table does. */
static void *memkit_c_dlsym(void *handle, const char *name)
{
    void *found;
    if (!memkit_heap.on || handle == RTLD_NEXT || handle == RTLD_DEFAULT)
        return next_dlsym(handle, name);        /* it depends on who asks: a jump, and no call */
    found = next_dlsym(handle, name);
    memkit_patch();
    for (int which = 0; which < HOOKS_OF_C; which++)
        if (found && found == of_c[which] && which != DLSYM)
            return hooks_of_c[which].hook;
    return found;
}

#else

static int memkit_patch(void)
{
    return 0;
}

#endif
