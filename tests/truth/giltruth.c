/* What really happens to the GIL, told by the threads that take it.
 *
 * Each stamped thread makes every one of its GIL operations here, with
 * CLOCK_MONOTONIC read before and after each:
 *
 *     off-GIL body | ask | PyEval_RestoreThread | taken | body under the GIL | drop | PyEval_SaveThread | dropped
 *
 * so the hold lies between `taken` and `drop`, surely within `ask` and
 * `dropped`; the wait lies between `ask` and `taken`. Nothing else in the
 * process takes the GIL between the instants `from` and `to` of the dump,
 * except threads that are marked as bytecode in it. Only public API of
 * CPython 3.8 to 3.15, free-threaded builds included.
 *
 * The dump, little-endian, no padding:
 *
 *     "GILTRUTH"  u32 version (3)  u32 pid  u64 from  u64 to  u32 threads
 *     per thread: u32 tid  u32 kind  i64 interpreter  u64 entered  u64 left  u64 unstamped  u64 cycles  char name[64]
 *                 per cycle: u64 ask  u64 taken  u64 drop  u64 dropped
 *     u64 from `gil->cond` to `gil->switch_cond`, bytes   u64 entries, which are those of gilconds.c where it is loaded
 *     per entry: u64 at  u64 cond  u32 tid  u32 operation  u64 locked
 */
#define _GNU_SOURCE 1
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum kind {
    HOLDS_BUSY = 0,   /* stamped, spins while it holds */
    HOLDS_ASLEEP = 1, /* stamped, sleeps while it holds */
    BYTECODE = 2,     /* pure Python: takes the GIL unstamped */
    APART = 3,        /* never takes the GIL between from and to */
};

struct cycle {
    uint64_t ask, taken, drop, dropped;
};

struct record {
    uint32_t tid;
    uint32_t kind;
    int64_t interpreter;
    uint64_t entered, left;
    uint64_t unstamped; /* cycles that the buffer had no room for */
    uint64_t cycles;
    char name[64];
    uint64_t room;
    struct cycle *stamps;
    struct record *next;
};

struct body {
    uint64_t ns;
    int asleep;
};

struct schedule {
    struct body hold, off;
    double jitter;
    uint64_t random;
};

/* One experiment a process: the state is the process's, shared by all its interpreters. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct record *records;
static uint32_t record_count;
static int entered_count, gone;
static uint64_t from_ns, to_ns;
static atomic_int stopping;
static atomic_int newborns;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
    struct timespec until = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

static int stopped(void)
{
    return atomic_load_explicit(&stopping, memory_order_acquire);
}

/* xorshift64*: the same seed gives the same schedule. */
static double random_share(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)((*state * 2685821657736338717u) >> 11) / 9007199254740992.0;
}

static void play(const struct body *body, struct schedule *schedule)
{
    if (body->ns == 0) {
        return;
    }
    double factor = 1.0 + schedule->jitter * (2.0 * random_share(&schedule->random) - 1.0);
    uint64_t until = now_ns() + (uint64_t)((double)body->ns * factor);
    if (body->asleep) {
        sleep_until(until);
    } else {
        while (now_ns() < until) {
        }
    }
}

static struct record *enrol(const char *name, enum kind kind, int64_t interpreter, uint64_t room)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return NULL;
    }
    if (room > 0) {
        record->stamps = malloc(room * sizeof *record->stamps);
        if (record->stamps == NULL) {
            free(record);
            return NULL;
        }
        /* Touched now, so that no stamp pays for a page fault. */
        memset(record->stamps, 0xff, room * sizeof *record->stamps);
    }
    record->room = room;
    record->tid = (uint32_t)syscall(SYS_gettid);
    record->kind = kind;
    record->interpreter = interpreter;
    snprintf(record->name, sizeof record->name, "%s", name);
    char comm[16];
    snprintf(comm, sizeof comm, "%.15s", name);
    pthread_setname_np(pthread_self(), comm);
    record->entered = now_ns();
    pthread_mutex_lock(&lock);
    record->next = records;
    records = record;
    record_count++;
    pthread_mutex_unlock(&lock);
    return record;
}

/* Without the GIL: waits until every thread of the scenario has come this far. */
static void await_start(void)
{
    pthread_mutex_lock(&lock);
    entered_count++;
    pthread_cond_broadcast(&changed);
    while (!gone) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static void await_stop(void)
{
    pthread_mutex_lock(&lock);
    while (!stopped()) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static void keep(struct record *record, const struct cycle *cycle)
{
    if (record->cycles < record->room) {
        record->stamps[record->cycles++] = *cycle;
    } else {
        record->unstamped++;
    }
}

static int64_t interpreter_id(void)
{
    return PyInterpreterState_GetID(PyThreadState_Get()->interp);
}

static int read_body(const char *what, const char *how, double us, struct body *body)
{
    if (us < 0 || us > 1e9) {
        PyErr_Format(PyExc_ValueError, "%s_us must lie in 0..1e9", what);
        return -1;
    }
    if (strcmp(how, "busy") != 0 && strcmp(how, "sleep") != 0) {
        PyErr_Format(PyExc_ValueError, "%s must be 'busy' or 'sleep', not '%s'", what, how);
        return -1;
    }
    body->ns = (uint64_t)(us * 1000.0);
    body->asleep = strcmp(how, "sleep") == 0;
    return 0;
}

static int read_schedule(const char *held, double hold_us, const char *off, double off_us, double jitter,
                         unsigned long long seed, struct schedule *schedule)
{
    if (read_body("hold", held, hold_us, &schedule->hold) < 0 || read_body("off", off, off_us, &schedule->off) < 0) {
        return -1;
    }
    if (!(jitter >= 0.0 && jitter <= 1.0)) {
        PyErr_SetString(PyExc_ValueError, "jitter must lie in 0..1");
        return -1;
    }
    schedule->jitter = jitter;
    schedule->random = seed * 2654435769u + 88172645463325252u;
    return 0;
}

PyDoc_STRVAR(run_doc, "run(name, hold_us, held, off_us, off, jitter=0, seed=1, seconds=60)\n--\n\n"
                      "Take and drop the GIL on a schedule, stamped, until the experiment stops.");

static PyObject *run(PyObject *module, PyObject *args, PyObject *keywords)
{
    (void)module;
    static char *names[] = {"name", "hold_us", "held", "off_us", "off", "jitter", "seed", "seconds", NULL};
    const char *name, *held, *off;
    double hold_us, off_us, jitter = 0.0, seconds = 60.0;
    unsigned long long seed = 1;
    struct schedule schedule;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "sdsds|dKd", names, &name, &hold_us, &held, &off_us, &off, &jitter,
                                     &seed, &seconds)) {
        return NULL;
    }
    if (read_schedule(held, hold_us, off, off_us, jitter, seed, &schedule) < 0) {
        return NULL;
    }
    double cycle_us = (hold_us + off_us) * (1.0 - jitter) + 1.0;
    double expected = seconds * 1e6 / cycle_us * 1.5 + 1024.0;
    uint64_t room = expected > 2e6 ? 2000000u : (uint64_t)expected;
    struct record *record = enrol(name, schedule.hold.asleep ? HOLDS_ASLEEP : HOLDS_BUSY, interpreter_id(), room);
    if (record == NULL) {
        return PyErr_NoMemory();
    }
    PyThreadState *state = PyEval_SaveThread();
    await_start();
    while (!stopped()) {
        struct cycle cycle;
        play(&schedule.off, &schedule);
        cycle.ask = now_ns();
        PyEval_RestoreThread(state);
        cycle.taken = now_ns();
        play(&schedule.hold, &schedule);
        cycle.drop = now_ns();
        state = PyEval_SaveThread();
        cycle.dropped = now_ns();
        keep(record, &cycle);
    }
    record->left = now_ns();
    PyEval_RestoreThread(state);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(enter_doc, "enter(name)\n--\n\nA bytecode thread begins: it takes the GIL unstamped from here on.");

static PyObject *enter(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name;
    if (!PyArg_ParseTuple(args, "s", &name)) {
        return NULL;
    }
    if (enrol(name, BYTECODE, interpreter_id(), 0) == NULL) {
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    await_start();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyDoc_STRVAR(stopped_doc, "stopped()\n--\n\nWhether the experiment is over. Keeps the GIL.");

static PyObject *stopped_function(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyBool_FromLong(stopped());
}

PyDoc_STRVAR(rest_doc, "rest(name)\n--\n\nStay asleep without the GIL until the experiment stops.");

static PyObject *rest(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name;
    if (!PyArg_ParseTuple(args, "s", &name)) {
        return NULL;
    }
    struct record *record = enrol(name, APART, interpreter_id(), 0);
    if (record == NULL) {
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    await_start();
    await_stop();
    record->left = now_ns();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyDoc_STRVAR(decoy_doc, "decoy(name, timeout_us)\n--\n\n"
                        "Wait on a condition variable of its own, timing out again and again, as waiters for the GIL\n"
                        "do, without ever wanting the GIL.");

static PyObject *decoy(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name;
    double timeout_us;
    struct body timeout;
    if (!PyArg_ParseTuple(args, "sd", &name, &timeout_us) || read_body("timeout", "sleep", timeout_us, &timeout) < 0) {
        return NULL;
    }
    struct record *record = enrol(name, APART, interpreter_id(), 0);
    if (record == NULL) {
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    await_start();
    pthread_mutex_t own_mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_t own_cond;
    pthread_cond_init(&own_cond, &attributes);
    pthread_mutex_lock(&own_mutex);
    while (!stopped()) {
        uint64_t until = now_ns() + timeout.ns;
        struct timespec deadline = {.tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u)};
        pthread_cond_timedwait(&own_cond, &own_mutex, &deadline);
    }
    pthread_mutex_unlock(&own_mutex);
    pthread_cond_destroy(&own_cond);
    pthread_condattr_destroy(&attributes);
    record->left = now_ns();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

struct birth {
    struct schedule schedule;
    uint64_t life_ns;
    uint64_t number;
};

static void *newborn(void *argument)
{
    struct birth birth = *(struct birth *)argument;
    free(argument);
    char name[16];
    snprintf(name, sizeof name, "mayfly-%llu", (unsigned long long)birth.number % 100000000u);
    uint64_t cycle_ns = birth.schedule.hold.ns + birth.schedule.off.ns + 1000u;
    struct record *record =
        enrol(name, birth.schedule.hold.asleep ? HOLDS_ASLEEP : HOLDS_BUSY, 0, birth.life_ns / cycle_ns * 2 + 16);
    if (record != NULL) {
        while (now_ns() - record->entered < birth.life_ns && !stopped()) {
            struct cycle cycle;
            cycle.ask = now_ns();
            PyGILState_STATE state = PyGILState_Ensure();
            cycle.taken = now_ns();
            play(&birth.schedule.hold, &birth.schedule);
            cycle.drop = now_ns();
            PyGILState_Release(state);
            cycle.dropped = now_ns();
            keep(record, &cycle);
            play(&birth.schedule.off, &birth.schedule);
        }
        record->left = now_ns();
    }
    atomic_fetch_sub(&newborns, 1);
    return NULL;
}

PyDoc_STRVAR(breed_doc, "breed(name, every_us, life_us, hold_us, held, off_us, off)\n--\n\n"
                        "Without the GIL, start native threads that each live for a moment and take it a few times.");

static PyObject *breed(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name, *held, *off;
    double every_us, life_us, hold_us, off_us;
    struct body every, life;
    struct schedule schedule;
    if (!PyArg_ParseTuple(args, "sdddsds", &name, &every_us, &life_us, &hold_us, &held, &off_us, &off) ||
        read_body("every", "sleep", every_us, &every) < 0 || read_body("life", "sleep", life_us, &life) < 0 ||
        read_schedule(held, hold_us, off, off_us, 0.0, 1, &schedule) < 0) {
        return NULL;
    }
    struct record *record = enrol(name, APART, interpreter_id(), 0);
    if (record == NULL) {
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    await_start();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 512 * 1024);
    uint64_t next = now_ns();
    for (uint64_t number = 1; !stopped(); number++) {
        struct birth *birth = malloc(sizeof *birth);
        if (birth != NULL) {
            *birth = (struct birth){.schedule = schedule, .life_ns = life.ns, .number = number};
            pthread_t thread;
            atomic_fetch_add(&newborns, 1);
            if (pthread_create(&thread, &attributes, newborn, birth) != 0) {
                atomic_fetch_sub(&newborns, 1);
                free(birth);
            }
        }
        next += every.ns;
        sleep_until(next);
    }
    while (atomic_load(&newborns) > 0) {
        sleep_until(now_ns() + 1000000u);
    }
    pthread_attr_destroy(&attributes);
    record->left = now_ns();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyDoc_STRVAR(supervise_doc, "supervise(threads, seconds)\n--\n\n"
                            "Without the GIL: let the threads go once all have come, say 'ready PID FROM' on stdout,\n"
                            "and stop them after the time given or when stdin closes.");

static PyObject *supervise(PyObject *module, PyObject *args)
{
    (void)module;
    int threads;
    double seconds;
    if (!PyArg_ParseTuple(args, "id", &threads, &seconds)) {
        return NULL;
    }
    struct record *record = enrol("main", APART, interpreter_id(), 0);
    if (record == NULL) {
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&lock);
    while (entered_count < threads) {
        pthread_cond_wait(&changed, &lock);
    }
    from_ns = now_ns();
    gone = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    dprintf(STDOUT_FILENO, "ready %ld %llu\n", (long)getpid(), (unsigned long long)from_ns);
    uint64_t end = from_ns + (uint64_t)(seconds * 1e9);
    for (uint64_t now = now_ns(); now < end; now = now_ns()) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        char ignored[256];
        if (poll(&input, 1, (int)((end - now) / 1000000u) + 1) > 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) {
            break;
        }
    }
    pthread_mutex_lock(&lock);
    to_ns = now_ns();
    atomic_store_explicit(&stopping, 1, memory_order_release);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    record->left = to_ns;
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* What threads did with condition variables, if that is logged. Python/ceval_gil.c has a mutex between the GIL's two. */
static int dump_conds(FILE *file)
{
    const void *(*log)(uint64_t *, uint64_t *) = (const void *(*)(uint64_t *, uint64_t *))dlsym(RTLD_DEFAULT, "gilconds_log");
    uint64_t apart = sizeof(pthread_cond_t) + sizeof(pthread_mutex_t), count = 0, lost = 0;
    const void *entries = log != NULL ? log(&count, &lost) : NULL;
    return lost == 0 && fwrite(&apart, 8, 1, file) == 1 && fwrite(&count, 8, 1, file) == 1 &&
           (count == 0 || fwrite(entries, 32, count, file) == count);
}

PyDoc_STRVAR(dump_doc, "dump(path)\n--\n\nWrite all stamps. Only after every thread has ended.");

static PyObject *dump(PyObject *module, PyObject *args)
{
    (void)module;
    const char *path;
    if (!PyArg_ParseTuple(args, "s", &path)) {
        return NULL;
    }
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
    }
    uint32_t version = 3, pid = (uint32_t)getpid();
    int good = fwrite("GILTRUTH", 8, 1, file) == 1 && fwrite(&version, 4, 1, file) == 1 &&
               fwrite(&pid, 4, 1, file) == 1 && fwrite(&from_ns, 8, 1, file) == 1 && fwrite(&to_ns, 8, 1, file) == 1 &&
               fwrite(&record_count, 4, 1, file) == 1;
    for (struct record *record = records; record != NULL && good; record = record->next) {
        uint64_t left = record->left != 0 ? record->left : to_ns;
        good = fwrite(&record->tid, 4, 1, file) == 1 && fwrite(&record->kind, 4, 1, file) == 1 &&
               fwrite(&record->interpreter, 8, 1, file) == 1 && fwrite(&record->entered, 8, 1, file) == 1 &&
               fwrite(&left, 8, 1, file) == 1 && fwrite(&record->unstamped, 8, 1, file) == 1 &&
               fwrite(&record->cycles, 8, 1, file) == 1 && fwrite(record->name, sizeof record->name, 1, file) == 1 &&
               fwrite(record->stamps, sizeof(struct cycle), record->cycles, file) == record->cycles;
    }
    good = good && dump_conds(file);
    if (fclose(file) != 0 || !good) {
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(die_with_parent_doc, "die_with_parent()\n--\n\nFor a child process: be killed when its parent ends.");

static PyObject *die_with_parent(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

/* Signals: when the C handler ran, and when the Python handler began. In a file that another process reads meanwhile:
 *     u64 tripped  u64 handled  per signal tripped: u64 before, after the C handler   per signal handled: u64 its first line
 */
enum { MOST_SIGNALS = 8192 };

struct signal_stamps {
    atomic_ullong tripped, handled;
    uint64_t trips[MOST_SIGNALS][2];
    uint64_t handlers[MOST_SIGNALS];
};

static struct signal_stamps *signals;
static struct sigaction wrapped;

static void stamping_handler(int number)
{
    uint64_t before = now_ns();
    wrapped.sa_handler(number);
    unsigned long long index = atomic_fetch_add(&signals->tripped, 1);
    if (index < MOST_SIGNALS) {
        signals->trips[index][0] = before;
        signals->trips[index][1] = now_ns();
    }
}

PyDoc_STRVAR(stamp_signals_doc, "stamp_signals(number, path)\n--\n\n"
                                "Stamp each run of the C handler of a signal, which Python handles already.");

static PyObject *stamp_signals(PyObject *module, PyObject *args)
{
    (void)module;
    int number;
    const char *path;
    if (!PyArg_ParseTuple(args, "is", &number, &path)) {
        return NULL;
    }
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0 || ftruncate(file, sizeof *signals) != 0) {
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
    }
    signals = mmap(NULL, sizeof *signals, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (signals == MAP_FAILED || sigaction(number, NULL, &wrapped) != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    struct sigaction stamping = wrapped;
    stamping.sa_handler = stamping_handler;
    if (sigaction(number, &stamping, NULL) != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(handled_doc, "handled()\n--\n\nA Python handler begins.");

static PyObject *handled(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    uint64_t now = now_ns();
    unsigned long long index = atomic_load(&signals->handled);
    if (index < MOST_SIGNALS) {
        signals->handlers[index] = now;
    }
    atomic_store(&signals->handled, index + 1);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(hold_doc, "hold(us)\n--\n\nOne C call that keeps the GIL for so long.");

static PyObject *hold(PyObject *module, PyObject *args)
{
    (void)module;
    double us;
    struct body body;
    if (!PyArg_ParseTuple(args, "d", &us) || read_body("hold", "busy", us, &body) < 0) {
        return NULL;
    }
    uint64_t until = now_ns() + body.ns;
    while (now_ns() < until) {
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))run, METH_VARARGS | METH_KEYWORDS, run_doc},
    {"enter", enter, METH_VARARGS, enter_doc},
    {"stopped", stopped_function, METH_NOARGS, stopped_doc},
    {"rest", rest, METH_VARARGS, rest_doc},
    {"decoy", decoy, METH_VARARGS, decoy_doc},
    {"breed", breed, METH_VARARGS, breed_doc},
    {"supervise", supervise, METH_VARARGS, supervise_doc},
    {"dump", dump, METH_VARARGS, dump_doc},
    {"stamp_signals", stamp_signals, METH_VARARGS, stamp_signals_doc},
    {"handled", handled, METH_NOARGS, handled_doc},
    {"hold", hold, METH_VARARGS, hold_doc},
    {"die_with_parent", die_with_parent, METH_NOARGS, die_with_parent_doc},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
    (void)module;
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)execute},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "giltruth",
    .m_doc = "What really happens to the GIL, told by the threads that take it.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_giltruth(void)
{
    return PyModuleDef_Init(&definition);
}
