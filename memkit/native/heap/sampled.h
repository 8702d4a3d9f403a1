/* Sampling: few blocks are booked, each byte as likely as any other. Included by counting.c alone.

Each thread counts down the bytes that it allocates, from a number that is drawn from an exponential distribution; the block
that the count ends in is booked to the stack of the thread. So a block of `size` bytes is booked with the chance
1 - exp(-size / distance), whatever was allocated before it, and stands for 1 / chance blocks. Sums of these are unbiased, and
so is the sum of (1 - chance) / chance^2 * size^2 as their variance: Horvitz and Thompson (1952), for independent draws.

That an exponential distribution has no memory is used throughout: what a thread counts down for blocks that cannot be booked,
such as those that lie behind others, makes no other block more likely or less. */

enum {
    DEEPEST = 512,              /* of a stack, the innermost calls */
    FILTER = 1 << 17,           /* of addresses: counts of the blocks that are booked */
    MANY = 255,                 /* so many, or more */
    TEXTS = 1 << 23,
    TEXT_PLACES = 2 * MEMKIT_MOST_FUNCTIONS,
    LINE_STACKS = MEMKIT_STACKS / 4 * 3,       /* from so many on there are no more by lines: the rest is for calls */
    MARKS = 1 << 14,
    OWN = -1                    /* a function of memkit's: what it allocates counts for its caller */
};

#define SURE ((size_t)1 << 40)  /* a sample, whatever is drawn */

static volatile int samples_lock;
static uint8_t filter[FILTER];
static int drawing_threads;

typedef struct {
    uint64_t mark;
    int function, line;
} found_t;

static found_t *marks;          /* what was looked up last */
static memkit_stack_t *stacks;
static uint32_t *stack_places, *text_places, *text_at;     /* numbers + 1, hashed by what they are of; where a text begins */
static char *texts;

/* -- which blocks -------------------------------------------------------------------------------------------------- */

static inline uint32_t bucket_of(const void *address)
{
    return (uintptr_t)address >> 4 & (FILTER - 1);      /* neighbours share a line of the cache */
}

static ALWAYS_INLINE int may_be_sample(const void *address)
{
    return filter[bucket_of(address)];
}

static void mark_bucket(const void *address, int step)
{
    uint8_t *bucket = &filter[bucket_of(address)];
    if (*bucket != MANY)        /* how many these are is not known any more */
        *bucket += step;
}

static uint64_t next_random(memkit_thread_t *thread)    /* xorshift64* by Vigna (2016) */
{
    thread->random ^= thread->random >> 12;
    thread->random ^= thread->random << 25;
    thread->random ^= thread->random >> 27;
    return thread->random * 0x2545F4914F6CDD1D;
}

static int64_t gap(memkit_thread_t *thread)
{
    double uniform = ((next_random(thread) >> 11) + 1) * 0x1p-53;       /* above 0, up to 1 */
    return (int64_t)(-log(uniform) * memkit_heap.sampling.distance) + 1;
}

static NOINLINE void seed(memkit_thread_t *thread)
{
    uint64_t mixed = memkit_heap.sampling.seed;         /* splitmix64 */
    mixed += 0x9E3779B97F4A7C15 * (uint64_t)(1 + __atomic_fetch_add(&drawing_threads, 1, __ATOMIC_RELAXED));
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
    thread->random = (mixed ^ mixed >> 31) | 1;
    thread->drawn_in = memkit_heap.generation;
}

/* Count a block down. Of a heap that was opened after the count began the floor is higher than any count before. Requests that
nobody can fulfil must not lead below the lowest number. */
static ALWAYS_INLINE int is_passed(memkit_thread_t *thread, size_t size)
{
    return LIKELY(size < SURE) && LIKELY((thread->until -= (int64_t)size) > memkit_heap.floor);
}

/* Whether a block is to be booked that did not pass. */
static NOINLINE int is_drawn(memkit_thread_t *thread, size_t size)
{
    int64_t floor = memkit_heap.floor;
    size = size < SURE ? size : SURE;
    if (memkit_heap.on != MEMKIT_SAMPLED || floor <= 0 || floor == INT64_MAX) {      /* it is being opened or closed */
        thread->until = 0;
        return 0;
    }
    if (thread->drawn_in != memkit_heap.generation) {
        seed(thread);
        thread->until = floor + gap(thread) - (int64_t)size;
        if (thread->until > floor)
            return 0;
    }
    thread->until = floor + gap(thread);
    return 1;
}

/* -- stacks: under the lock ---------------------------------------------------------------------------------------- */

static uint32_t function_by_text(const char *text, size_t length)
{
    uint64_t mixed = 0xCBF29CE484222325;        /* FNV-1a */
    uint32_t place, number, end = text_at[memkit_heap.functions];
    for (size_t i = 0; i < length; i++)
        mixed = (mixed ^ (unsigned char)text[i]) * 0x100000001B3;
    for (place = mixed % TEXT_PLACES; text_places[place]; place = (place + 1) % TEXT_PLACES) {
        number = text_places[place] - 1;
        if (text_at[number + 1] - text_at[number] == length && !memcmp(texts + text_at[number], text, length))
            return number;
    }
    if (memkit_heap.functions == MEMKIT_MOST_FUNCTIONS - 1 || end + length > TEXTS)
        return MEMKIT_MORE_FUNCTIONS;
    memcpy(texts + end, text, length);
    number = memkit_heap.functions;
    text_at[number + 1] = end + length;
    __atomic_store_n(&memkit_heap.functions, number + 1, __ATOMIC_RELEASE);
    text_places[place] = number + 1;
    return number;
}

/* The function and the line that a frame is at. Its table of lines is read at once: a code object may be gone at a flush. */
static const found_t *found_at(memkit_frame_t frame)
{
    uint64_t mark = memkit_heap.sampling.mark(frame);
    found_t *found = &marks[mark * 0x9E3779B97F4A7C15 >> 50];
    const char *text;
    size_t length;
    if (mark && found->mark == mark)
        return found;
    length = memkit_heap.sampling.describe(frame, &text, &found->line);
    found->function = length ? (int)function_by_text(text, length) : OWN;
    found->mark = mark;
    return found;
}

/* A call path below another, or, where there is a line, a path by lines; the former below none if there is no room. */
static uint32_t stack_below(uint32_t parent, uint32_t function, uint32_t line)
{
    uint64_t key = ((uint64_t)parent << 32 | function) ^ (uint64_t)line << 17;
    uint32_t place = key * 0x9E3779B97F4A7C15 >> 46, number, path;
    memkit_stack_t *stack;
    for (; stack_places[place]; place = (place + 1) % (2 * MEMKIT_STACKS)) {
        number = stack_places[place] - 1;
        stack = &stacks[number];
        if (stack->parent == parent && stack->function == function && stack->line == line)
            return number;
    }
    if (line) {
        path = stack_below(stacks[parent].path, function, 0);
        if (path == MEMKIT_MORE_STACKS || memkit_heap.stacks >= LINE_STACKS)
            return path;
        while (stack_places[place])     /* the path may have taken it */
            place = (place + 1) % (2 * MEMKIT_STACKS);
    }
    if (memkit_heap.stacks == MEMKIT_STACKS)
        return MEMKIT_MORE_STACKS;
    number = memkit_heap.stacks;
    stack = &stacks[number];
    stack->parent = parent, stack->function = function, stack->line = line, stack->path = line ? path : number;
    stack_places[place] = number + 1;
    __atomic_store_n(&memkit_heap.stacks, number + 1, __ATOMIC_RELEASE);
    return number;
}

static uint32_t stack_of(const memkit_frame_t *frames, int depth)
{
    uint32_t stack = MEMKIT_ALL_STACKS;
    const found_t *found;
    while (depth-- && stack != MEMKIT_MORE_STACKS) {
        found = found_at(frames[depth]);
        if (found->function != OWN)
            stack = stack_below(stack, found->function, found->line);
    }
    return stack == MEMKIT_ALL_STACKS ? MEMKIT_NO_STACK : stack;
}

static void count_estimate(memkit_estimate_t *sums, double size, double chance, double blocks)
{
    double variance = (1 - chance) / (chance * chance);
    sums->bytes += blocks * size / chance, sums->blocks += blocks / chance;
    sums->bytes_variance += blocks * size * size * variance, sums->blocks_variance += blocks * variance;
}

static void look_at_sampled_peak(void)
{
    memkit_heap_t *heap = &memkit_heap;
    if (heap->sampled.bytes <= heap->peak + heap->peak / 100)
        return;
    heap->peak = heap->sampled.bytes, heap->peak_variance = heap->sampled.bytes_variance;
    for (uint32_t i = 0; i < heap->stacks; i++) {
        stacks[i].at_peak = stacks[i].allocated.bytes - stacks[i].freed.bytes;
        stacks[i].at_peak_variance = stacks[i].allocated.bytes_variance - stacks[i].freed.bytes_variance;
    }
    heap->copies++;
}

/* Count bytes of blocks as allocated, or as freed, and if it is -1 `blocks` as no longer that. */
static void count_sample(uint32_t stack, double size, double chance, double blocks, int freed)
{
    count_estimate(freed ? &stacks[stack].freed : &stacks[stack].allocated, size, chance, blocks);
    count_estimate(&memkit_heap.sampled, size, chance, freed ? -blocks : blocks);
    if (!freed)
        look_at_sampled_peak();
}

static double chance_of(uint64_t size)
{
    return -expm1(-(double)size / memkit_heap.sampling.distance);
}

/* -- booking, by a thread that is in a hook ------------------------------------------------------------------------ */

static int take_sample(void *address, block_t *block)
{
    int found;
    lock(&samples_lock);
    found = memkit_heap.on == MEMKIT_SAMPLED && take_large(address, block);
    if (found) {
        mark_bucket(address, -1);
        count_sample(block->site, block->size, chance_of(block->size), 1, 1);
    }
    unlock(&samples_lock);
    return found;
}

/* One that was taken is not freed after all. */
static void restore_sample(void *address, block_t *block)
{
    lock(&samples_lock);
    if (memkit_heap.on == MEMKIT_SAMPLED && put_large(address, block->size, block->site, 0) > 0) {
        mark_bucket(address, 1);
        count_sample(block->site, block->size, chance_of(block->size), -1, 1);
    }
    unlock(&samples_lock);
}

static NOINLINE void put_sample(void *address, uint64_t size)
{
    memkit_frame_t frames[DEEPEST];
    int depth = memkit_heap.sampling.walk(frames, DEEPEST), booked;
    block_t block;
    if (may_be_sample(address))
        take_sample(address, &block);   /* it was freed by who looked the C library's own `free` up */
    lock(&samples_lock);
    if (memkit_heap.on == MEMKIT_SAMPLED) {
        uint32_t stack = stack_of(frames, depth);
        if ((booked = put_large(address, size, stack, 0)) > 0) {
            mark_bucket(address, 1);
            count_sample(stack, size, chance_of(size), 1, 0);
        } else if (!booked) {
            __atomic_fetch_add(&memkit_heap.unbooked, 1, __ATOMIC_RELAXED);
        }
    }
    unlock(&samples_lock);
}

/* Maps are few: all of them count. */
static __attribute__((unused)) uint32_t stack_of_thread(void)
{
    memkit_frame_t frames[DEEPEST];
    int depth = memkit_heap.sampling.walk(frames, DEEPEST);
    uint32_t stack = MEMKIT_NO_STACK;
    lock(&samples_lock);
    if (memkit_heap.on == MEMKIT_SAMPLED)
        stack = stack_of(frames, depth);
    unlock(&samples_lock);
    return stack;
}

static void count_map(uint32_t stack, double size, int blocks, int freed)
{
    memkit_estimate_t *sums = freed ? &stacks[stack].freed : &stacks[stack].allocated;
    lock(&samples_lock);
    sums->bytes += size, sums->blocks += blocks;
    memkit_heap.sampled.bytes += freed ? -size : size, memkit_heap.sampled.blocks += freed ? -blocks : blocks;
    if (!freed)
        look_at_sampled_peak();
    unlock(&samples_lock);
}

/* -- opening, closing and reading ---------------------------------------------------------------------------------- */

static int make_samples(void)
{
    return made_once((void **)&marks, MARKS * sizeof *marks) && made_once((void **)&stacks, MEMKIT_STACKS * sizeof *stacks)
        && made_once((void **)&stack_places, 2 * MEMKIT_STACKS * sizeof *stack_places)
        && made_once((void **)&text_places, TEXT_PLACES * sizeof *text_places)
        && made_once((void **)&text_at, (MEMKIT_MOST_FUNCTIONS + 1) * sizeof *text_at) && made_once((void **)&texts, TEXTS);
}

/* No block is a sample any more; the sums are kept. Where all count, each is to be looked at: see sampled_hooks.h. */
static void forget_samples(int mode)
{
    lock(&samples_lock);
    memset(filter, mode & MEMKIT_PAIRS ? MANY : 0, sizeof filter);
    unlock(&samples_lock);
}

static void begin_samples(void)
{
    memkit_heap_t *heap = &memkit_heap;
    lock(&samples_lock);
    clear(marks, MARKS * sizeof *marks);
    clear(stacks, MEMKIT_STACKS * sizeof *stacks);
    clear(stack_places, 2 * MEMKIT_STACKS * sizeof *stack_places);
    clear(text_places, TEXT_PLACES * sizeof *text_places);
    clear(text_at, (MEMKIT_MOST_FUNCTIONS + 1) * sizeof *text_at);
    heap->sampled = (memkit_estimate_t){0};
    heap->peak_variance = 0;
    heap->functions = MEMKIT_MORE_FUNCTIONS + 1;
    stacks[MEMKIT_ALL_STACKS].path = MEMKIT_ALL_STACKS;
    stacks[MEMKIT_MORE_STACKS] = (memkit_stack_t){MEMKIT_ALL_STACKS, MEMKIT_MORE_FUNCTIONS, 0, MEMKIT_MORE_STACKS};
    heap->stacks = MEMKIT_MORE_STACKS + 1;
    drawing_threads = 0;
    __atomic_store_n(&heap->floor, heap->generation << 40, __ATOMIC_RELEASE);
    unlock(&samples_lock);
}

static void memkit_heap_stack(uint32_t number, memkit_stack_t *into)
{
    lock(&samples_lock);
    *into = stacks[number];
    unlock(&samples_lock);
}

static const char *memkit_heap_function(uint32_t number, size_t *length)
{
    *length = text_at[number + 1] - text_at[number];
    return texts + text_at[number];
}
