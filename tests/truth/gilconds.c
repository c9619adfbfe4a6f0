/* What threads do with condition variables, told by the C library's own entrances: loaded before all others (LD_PRELOAD).
 *
 * CPython's GIL is a flag and two of them (Python/ceval_gil.c, 3.8 to 3.15): `take_gil` waits in `gil->cond` with a
 * time-out while the flag is set, sets it, and signals `gil->switch_cond`; `drop_gil` clears it and signals `gil->cond`.
 * So the entrances tell takes and drops of every thread, bytecode included, to the 0.1 us that lie between the flag and the call.
 * Where a watchpoint is on the flag, its exception lies between the two as well. `drop_gil` locks the mutex right before it
 * clears the flag, so when that came back is logged, too. `take_gil` locks it first thing: whoever finds it taken sleeps on it, for
 * as long as it gets no core, and asks for the GIL from there on. Each mutex lies right behind its condition variable.
 *
 * `gilconds_log` gives what was logged; the extension that stamps writes it into its dump.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum operation {
    SIGNAL = 0,     /* wakes a waiter, if there is one */
    TIMED_WAIT = 1, /* until it is signalled, or a time-out is over */
    BLOCKED = 2,    /* the mutex behind it was taken, and is waited for */
};

struct entry {
    uint64_t at; /* CLOCK_MONOTONIC, ns */
    uint64_t cond;
    uint32_t tid;
    uint32_t operation;
    uint64_t locked; /* when this thread's newest lock of a mutex came back */
};

enum { MOST = 8000000 };

static struct entry *entries;
static atomic_ullong used;
static __thread uint32_t own_tid;
static __thread uint64_t locked;

static int (*real_lock)(pthread_mutex_t *);
static int (*real_trylock)(pthread_mutex_t *);
static int (*real_signal)(pthread_cond_t *);
static int (*real_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*real_clockwait)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);

/* glibc has two of each: those before 2.3.2 (on x86-64) know another layout. */
static void *next(const char *name)
{
    void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    return found != NULL ? found : dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void begin(void)
{
    real_signal = (int (*)(pthread_cond_t *))next("pthread_cond_signal");
    real_timedwait =
        (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))next("pthread_cond_timedwait");
    real_clockwait = (int (*)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *))dlsym(
        RTLD_NEXT, "pthread_cond_clockwait");
    void *room = mmap(NULL, MOST * sizeof *entries, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) {
        abort();
    }
    entries = room;
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void told(const void *cond, enum operation operation)
{
    uint64_t at = now();
    unsigned long long index = atomic_fetch_add_explicit(&used, 1, memory_order_relaxed);
    if (own_tid == 0) {
        own_tid = (uint32_t)syscall(SYS_gettid);
    }
    if (index < MOST) {
        entries[index] = (struct entry){
            .at = at,
            .cond = (uint64_t)(uintptr_t)cond,
            .tid = own_tid,
            .operation = operation,
            .locked = locked,
        };
    }
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    if (real_lock == NULL) { /* other libraries begin before this one */
        real_trylock = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_trylock");
        real_lock = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
    }
    int failed = real_trylock(mutex);
    if (failed == EBUSY) {
        if (entries != NULL) {
            told((const char *)mutex - sizeof(pthread_cond_t), BLOCKED);
        }
        failed = real_lock(mutex);
    }
    locked = now();
    return failed;
}

int pthread_cond_signal(pthread_cond_t *cond)
{
    told(cond, SIGNAL);
    return real_signal(cond);
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    told(cond, TIMED_WAIT);
    return real_timedwait(cond, mutex, until);
}

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
    told(cond, TIMED_WAIT);
    return real_clockwait(cond, mutex, clock, until);
}

/* The entries, each thread's in the order of its calls, and how many there are; `lost` had no room. */
const void *gilconds_log(uint64_t *count, uint64_t *lost)
{
    unsigned long long all = atomic_load(&used);
    *count = all < MOST ? all : MOST;
    *lost = all - *count;
    return entries;
}
