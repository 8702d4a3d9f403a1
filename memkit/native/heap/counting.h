/* Who allocated what: each block that is allocated is booked to the site that runs, and given back to it when it is freed.

A site is a call path, a line below other lines, or a pair of both: small numbers, of which 0 is "no traced code". The
tracers say which runs in a thread; the hooks of the allocators say what is allocated and freed. From the first span on it is those in
a span of a label, too. Or a site is what one open span after another is counted in; the context says which is the innermost:
see spans.h. */

#ifndef MEMKIT_COUNTING_H
#define MEMKIT_COUNTING_H

#include <stddef.h>
#include <stdint.h>

enum {
    MEMKIT_SITES = 1 << 20,     /* further ones share the last */
    MEMKIT_LABELLED = 1 << 19,  /* from here on those of paths and lines in spans */
    MEMKIT_LABELS = 1 << 12,
    MEMKIT_SHARDS = 5           /* of sums: one for threads that hold the GIL, the others by thread */
};

typedef struct {
    int id;                     /* of a call path: the first field of what the tracer of calls keeps for it */
} memkit_path_t;

typedef struct {                /* of a thread */
    union {
        struct {
            uint8_t inside;     /* a hook: what it calls counts already. The lowest byte of `gate` */
            uint8_t unused;
            uint16_t muted;     /* what it allocates is memkit's own */
            uint32_t joined;    /* the generation of the heap that `path` and `line` belong to */
        };
        uint64_t gate;          /* as the heap's: its blocks count, and it can be told what is known of the last one */
    };
    memkit_path_t **path;       /* the one that runs, told by the tracer of calls */
    uint32_t *line;             /* the same by the tracer of lines: a number, from 1 on; 0: none runs */
    memkit_path_t *last_path;   /* where it was when it last allocated with the GIL: */
    uint32_t last_line, last_place;             /* the latter is what is booked of a block of no bytes, */
    uint32_t *last_path_serial, *last_line_serial;      /* how often calls of the path began and ended, and its line did, */
    void *last_sums;            /* and the sums of its site */
    int shard;
    int own;                    /* memkit started it: none of what it does is the program's */
    uint32_t pair_path, pair_line, pair;        /* the last pair of both, and its site */
    int64_t until;              /* sampled: bytes until the next that is, above the heap's `floor` */
    int64_t drawn_in;           /* the heap's generation that it was drawn in */
    uint64_t random;
    const void *context;        /* spans: the context that runs, and its version, when `span` was looked up */
    uint64_t context_version;
    uint32_t span, span_serial;
} memkit_thread_t;

typedef struct {                /* of a site; blocks and bytes */
    int64_t allocated;
    int64_t freed;              /* of what was allocated here, wherever it is freed */
    int64_t blocks;
    int64_t blocks_freed;
    int64_t temporary;          /* freed in the call that allocated it, before it or one of the same path began anew */
    int64_t temporary_line;     /* the same for the line */
    int64_t sure;               /* what is alive of blocks of sizes that no free list has; by spans alone */
} memkit_sums_t;

enum {
    MEMKIT_LINES = 1,           /* which tracers say where a thread is */
    MEMKIT_PATHS = 2,
    MEMKIT_PAIRS = 3,
    MEMKIT_SAMPLED = 4,         /* none: few blocks are booked, by the stack of who allocates: see sampled.h */
    MEMKIT_SPANS = 5,           /* none: the context does, for spans */
    MEMKIT_STRETCHES = 6        /* none: the time does; see stretches.h */
};

typedef struct {                /* a site that spans are counted in, one after the other; bytes, with those of the spans inside */
    int64_t allocated, alive, peak;     /* since the last one began; alive and at most alive is what of that was */
    uint32_t serial;            /* the upper 16 bits count how often it came below another parent, the lower ones its spans */
    uint32_t parent, parent_serial;     /* the site of the span around it, as it was then */
    uint32_t late;              /* the site of what is allocated once the span is over, in tasks that it started for instance */
    uint32_t node;              /* what it is a span of: the label, and those of the spans around it */
    uint32_t is_open;
    int64_t sure;               /* of what is alive, blocks of sizes that no free list has */
    uint32_t unused[2];
} memkit_span_t;

typedef struct {                /* of a label, by paths and lines: what is alive of it */
    int64_t alive, sure;
} memkit_label_t;

enum { MEMKIT_STRETCH_NONE, MEMKIT_STRETCH_ENDS /* what is freed of it counts */, MEMKIT_STRETCH_RUNS };

typedef struct {                /* bytes of a stretch of time; at most alive are those of all threads, as this half has seen it */
    int64_t allocated, alive, peak;     /* of threads without the GIL below 16 bits of the stretch's serial: see stretches.h */
} memkit_stretch_t;

enum { MEMKIT_STRETCH_BITS = 48 };
#define MEMKIT_STRETCH_BYTES(word) ((int64_t)((uint64_t)(word) << (64 - MEMKIT_STRETCH_BITS)) >> (64 - MEMKIT_STRETCH_BITS))

enum {
    MEMKIT_STACKS = 1 << 17,    /* call paths that are sampled, and paths of lines; further ones share one */
    MEMKIT_NO_STACK = 0,        /* no Python code ran in the thread */
    MEMKIT_ALL_STACKS = 1,      /* what all others are below */
    MEMKIT_MORE_STACKS = 2,     /* the further ones */
    MEMKIT_MOST_FUNCTIONS = 1 << 15,
    MEMKIT_MORE_FUNCTIONS = 0
};

typedef struct {                /* a call that runs: its code object, and the instruction that it is at, in bytes */
    const void *code;
    int64_t offset;
} memkit_frame_t;

typedef struct {                /* how stacks are sampled, and read: all but the first two run under the lock of the books */
    double distance;            /* bytes from one that is sampled to the next, on average */
    uint64_t seed;
    int (*walk)(memkit_frame_t *frames, int most);      /* those of this thread, the innermost first; how many */
    uint64_t (*mark)(memkit_frame_t frame);     /* tells it from others, as far as possible; 0: it cannot be told */
    /* File, name and first line, as in a row, and the line that it is at; how long that is, 0: memkit's own. */
    size_t (*describe)(memkit_frame_t frame, const char **text, int *line);
} memkit_sampling_t;

typedef struct {                /* what is estimated from samples, and the variance of that */
    double bytes, blocks, bytes_variance, blocks_variance;
} memkit_estimate_t;

typedef struct {                /* a call path that was sampled, or one by lines, which the sums are of */
    uint32_t parent, function;
    uint32_t line;              /* that the function is at, below the line of the parent; 0: a call path */
    uint32_t path;              /* the call path, of one by lines */
    memkit_estimate_t allocated, freed;
    double at_peak, at_peak_variance;
} memkit_stack_t;

typedef struct {
    int on;                     /* the mode, or 0 */
    int on_with_gil;            /* the same for who holds the GIL; 0 where more than one interpreter may have its own */
    uint64_t gates[4];          /* the same by mode: what the `gate` of a thread is then that has joined */
    int (*interpreters)(void);  /* whether more than one may have its own */
    int mode;                   /* MEMKIT_LINES, MEMKIT_PATHS or both; it is kept when it is off */
    uint32_t *path_serials;     /* by id + 1: counts how often a call of the path began and ended */
    uint32_t *line_serials;     /* by number of the line */
    int64_t *at_peak;           /* by site: what was alive at the last copy */
    int64_t peak;               /* what was alive then */
    int64_t copies;
    int64_t mapped;             /* bytes alive of anonymous maps, which are in the sums as well */
    int64_t books;              /* bytes that tell blocks apart, all of them resident */
    int64_t unbooked;           /* blocks for which there was no memory to book them */
    uint32_t most;              /* the highest site so far */
    int labelled;               /* paths and lines are told apart by span, too: one has begun */
    uint32_t most_labelled;     /* the highest site of these, or 0 */
    memkit_label_t *labels;     /* by number, see `node` */
    int64_t generation;         /* how often it was opened */
    int64_t floor;              /* see sampled.h; the highest number where all blocks count, the lowest where none does */
    memkit_span_t *spans;       /* by site of MEMKIT_SPANS; where lines or paths are traced, by a number of their own */
    void (*find_span)(memkit_thread_t *);       /* sets the thread's `span`; to be set before it is opened for spans */
    memkit_sampling_t sampling; /* to be set before it is opened for it */
    memkit_estimate_t sampled;  /* what is alive */
    double peak_variance;
    uint32_t stacks, functions; /* how many there are */
    int stretch_state;
    uint32_t stretch_serial;    /* of the one that runs, or of the last */
    memkit_stretch_t stretch[2];        /* what who holds the GIL counts, and what others do */
} memkit_heap_t;

/* Python's allocators: a PyMemAllocatorEx. */
typedef struct {
    void *ctx;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
} memkit_allocator_t;

typedef struct {                /* the books of a process: those of a library that was preloaded, or of a module */
    size_t size;                /* MEMKIT_BOOKS_SIZE: who has others was built from other sources */
    int counts_c;               /* the C library's allocators too */
    memkit_heap_t *heap;
    memkit_thread_t *(*thread)(void);
    memkit_thread_t *(*join)(void);     /* the thread, whose path and line are those of this heap from now on */
    int (*open)(int mode);      /* count from now on, in a MEMKIT_... mode. 0; -1: no memory */
    void (*close)(void);
    void (*forget)(void);       /* give back what is booked of blocks; the sums stay. Closed only */
    int (*hook)(memkit_allocator_t allocators[3], int (*interpreters)(void));   /* Python's domains. 0; -1: no memory */
    int (*unhook)(memkit_allocator_t *);        /* put the one before in its place. 0: it is no hook */
    void (*begin)(void);        /* a stretch begins */
    int64_t (*alive)(void);
    void (*sums)(uint32_t site, memkit_sums_t *into);
    void (*parts)(uint32_t site, uint32_t *label, uint32_t *path, uint32_t *line);
    size_t (*disown)(memkit_thread_t *, int locked, void *address);
    void (*disown_all)(memkit_thread_t *, int locked, void **address);
    void (*stack)(uint32_t number, memkit_stack_t *into);
    const char *(*function)(uint32_t number, size_t *length);   /* as `describe` has told it */
} memkit_books_t;

#define MEMKIT_BOOKS_SIZE (sizeof(memkit_books_t) + (sizeof(memkit_heap_t) << 12) + (sizeof(memkit_thread_t) << 24))

#endif
