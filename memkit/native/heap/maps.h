/* Anonymous maps that are booked, in the order of their addresses. Included by counting.c alone.

They are unmapped in parts as well, and by others than who mapped them; there are few. A map counts as long as it is mapped,
whether it was touched or not. */

typedef struct {
    uintptr_t from, to;
    uint32_t site, serial;
} map_t;

enum { MOST_MAPS = 1 << 16 };

#ifndef MEMKIT_COUNTS_C
#define MEMKIT_COUNTS_C 0
#define UNUSED __attribute__((unused))
#else
#define UNUSED
#endif

static map_t *maps;
static int map_count;
static volatile int maps_lock;

/* The first map that ends after an address. */
static int first_map(uintptr_t after)
{
    int low = 0, high = map_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (maps[middle].to <= after)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int insert_map(map_t map)
{
    int place = first_map(map.from);
    if (map_count == MOST_MAPS || (!maps && !(maps = pages(MOST_MAPS * sizeof *maps))))
        return 0;
    memmove(maps + place + 1, maps + place, (map_count - place) * sizeof *maps);
    maps[place] = map;
    map_count++;
    return 1;
}

/* Book what is unmapped between two addresses, and keep what is left of the maps. Returns the number of bytes. */
static size_t take_maps_locked(memkit_thread_t *thread, void *address, size_t size)
{
    uintptr_t from = (uintptr_t)address, to = from + ((size + 4095) & ~(size_t)4095);
    size_t found = 0;
    int mode = memkit_heap.on, place = first_map(from);
    while (mode && place < map_count && maps[place].from < to) {
        map_t map = maps[place];
        uintptr_t begin = map.from > from ? map.from : from, end = map.to < to ? map.to : to;
        block_t block = {end - begin, map.site, map.serial, 0};
        int whole = begin == map.from && end == map.to;
        if (mode == MEMKIT_SAMPLED)
            count_map(map.site, block.size, whole, 1);
        else if (mode == MEMKIT_STRETCHES)
            count_in_stretch(0, map.serial, 0, memkit_heap.stretch_state == MEMKIT_STRETCH_NONE ? 0 : -(int64_t)block.size);
        else
            count_freed(thread, 0, mode, &block, where_freed(&block, mode, 1), block.size, whole);
        memkit_heap.mapped -= block.size;
        found += block.size;
        if (whole) {
            memmove(maps + place, maps + place + 1, (--map_count - place) * sizeof *maps);
        } else if (begin == map.from) {
            maps[place++].from = end;
        } else {
            maps[place++].to = begin;
            if (end < map.to && !insert_map((map_t){end, map.to, map.site, map.serial}))
                __atomic_fetch_add(&memkit_heap.unbooked, 1, __ATOMIC_RELAXED);
        }
    }
    return found;
}

static UNUSED void put_map(memkit_thread_t *thread, void *address, size_t size)
{
    int mode = memkit_heap.on;
    uint32_t site, serial = memkit_heap.stretch_serial;         /* read before the state, which is of that or a later one */
    site_t *sums = NULL;
    int by_site;
    if (!mode)
        return;
    size = (size + 4095) & ~(size_t)4095;
    if (mode == MEMKIT_STRETCHES && memkit_heap.stretch_state != MEMKIT_STRETCH_RUNS)
        return;
    by_site = mode != MEMKIT_SAMPLED && mode != MEMKIT_STRETCHES;
    site = mode == MEMKIT_SAMPLED ? stack_of_thread() : by_site ? site_of(thread, mode) : 0;
    if (by_site)
        serial = serial_of(site, mode, 1), sums = site_at(thread->shard, site);
    lock(&maps_lock);
    take_maps_locked(thread, address, size);    /* what was unmapped by who looked the C library's own `munmap` up */
    if ((!sums && by_site)
            || !insert_map((map_t){(uintptr_t)address, (uintptr_t)address + size, site, serial}))
        __atomic_fetch_add(&memkit_heap.unbooked, 1, __ATOMIC_RELAXED);
    else if (mode == MEMKIT_SAMPLED)
        count_map(site, size, 1, 0), memkit_heap.mapped += size;
    else if (mode == MEMKIT_STRETCHES)
        count_in_stretch(0, serial, size, size), memkit_heap.mapped += size;
    else
        count_allocated(thread, 0, mode, sums, site, size), memkit_heap.mapped += size;
    unlock(&maps_lock);
}

static UNUSED size_t take_maps(memkit_thread_t *thread, void *address, size_t size)
{
    size_t found;
    lock(&maps_lock);
    found = take_maps_locked(thread, address, size);
    unlock(&maps_lock);
    return found;
}
