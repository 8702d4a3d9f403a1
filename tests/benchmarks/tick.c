// A thread that only wakes at a steady tick, in the two ways to wait until a moment: what any sampler costs at least.
// touch_slowly: memory that grows for as long as is wanted.

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static volatile bool stopping;
static bool on_condition;
static int64_t interval, ticks, late, cpu;

static int64_t read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void wait_until(int64_t due)
{
    struct timespec until = {due / 1000000000, due % 1000000000};
    if (on_condition)
        pthread_cond_timedwait(&wake, &lock, &until);
    else
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static void *tick(void *unused)
{
    int64_t due = read_clock(CLOCK_MONOTONIC) + interval;
    if (on_condition)
        pthread_mutex_lock(&lock);
    while (!stopping) {
        wait_until(due);
        int64_t time = read_clock(CLOCK_MONOTONIC);
        if (time < due)
            continue;
        int64_t missed = (time - due) / interval;
        ticks += 1;
        late += missed;
        due += (missed + 1) * interval;
    }
    cpu = read_clock(CLOCK_THREAD_CPUTIME_ID);
    if (on_condition)
        pthread_mutex_unlock(&lock);
    return NULL;
}

int start_ticking(int64_t nanoseconds, int with_condition)
{
    pthread_condattr_t monotonic;
    sigset_t every, before;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &monotonic);
    interval = nanoseconds;
    on_condition = with_condition;
    stopping = false;
    ticks = late = 0;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    int failed = pthread_create(&thread, NULL, tick, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

void stop_ticking(int64_t *result)
{
    pthread_mutex_lock(&lock);
    stopping = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    result[0] = ticks;
    result[1] = late;
    result[2] = cpu;
}

void touch_slowly(char *memory, size_t size, size_t page, int64_t nanoseconds)
{
    int64_t began = read_clock(CLOCK_MONOTONIC);
    for (size_t place = 0; place < size; place += page) {
        memory[place] = 1;
        int64_t due = began + (int64_t)((double)nanoseconds * (place + page) / size);
        while (read_clock(CLOCK_MONOTONIC) < due)
            ;
    }
}
