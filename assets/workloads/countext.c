/* The C extension of the workloads: what a binding does that keeps the GIL, and what one does that lets go of it.
 *
 * Each function takes a number of seconds by CLOCK_MONOTONIC, which neither a
 * preemption nor a signal makes longer. They are not static, so that a symbol
 * tells which of them runs. Public API of CPython 3.7 and later only, builds
 * without a GIL included.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <time.h>

/* Between two looks at the clock: some 100 us. */
#define AT_A_TIME 100000

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static unsigned long long count_until(double end)
{
    /* In memory, so that the compiler leaves the loop alone. */
    volatile unsigned long long n = 0;
    while (now() < end)
        for (int i = 0; i < AT_A_TIME; i++)
            n = n + 1;
    return n;
}

static void sleep_until(double end)
{
    struct timespec t;
    t.tv_sec = (time_t)end;
    t.tv_nsec = (long)(1e9 * (end - (double)t.tv_sec));
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* Each has a symbol and a frame of its own. */
#define OWN_FRAME __attribute__((noinline, used, visibility("default")))

OWN_FRAME PyObject *count_holding(PyObject *self, PyObject *seconds)
{
    (void)self;
    double length = PyFloat_AsDouble(seconds);
    if (length == -1.0 && PyErr_Occurred())
        return NULL;
    return PyLong_FromUnsignedLongLong(count_until(now() + length));
}

OWN_FRAME PyObject *count_releasing(PyObject *self, PyObject *seconds)
{
    (void)self;
    unsigned long long n;
    double length = PyFloat_AsDouble(seconds);
    if (length == -1.0 && PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    n = count_until(now() + length);
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLongLong(n);
}

OWN_FRAME PyObject *sleep_holding(PyObject *self, PyObject *seconds)
{
    (void)self;
    double length = PyFloat_AsDouble(seconds);
    if (length == -1.0 && PyErr_Occurred())
        return NULL;
    sleep_until(now() + length);
    Py_RETURN_NONE;
}

OWN_FRAME PyObject *sleep_releasing(PyObject *self, PyObject *seconds)
{
    (void)self;
    double length = PyFloat_AsDouble(seconds);
    if (length == -1.0 && PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    sleep_until(now() + length);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"count_holding", count_holding, METH_O, "Counts for so many seconds and keeps the GIL."},
    {"count_releasing", count_releasing, METH_O, "Counts for so many seconds without the GIL."},
    {"sleep_holding", sleep_holding, METH_O, "Sleeps for so many seconds and keeps the GIL."},
    {"sleep_releasing", sleep_releasing, METH_O, "Sleeps for so many seconds without the GIL."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "countext",
    .m_doc = "Counts and sleeps, with and without the GIL.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_countext(void)
{
    return PyModuleDef_Init(&module);
}
