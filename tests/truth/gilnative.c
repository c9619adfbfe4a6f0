/* Native code that holds the GIL for as long as it is told, in functions whose names a symbol table has and nobody exports. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static volatile unsigned long counted;

/* Counts: a thread in it is in its own code but for a thousandth of the time. */
static __attribute__((noinline)) void count_cext(double seconds)
{
    double until = now() + seconds;
    do {
        for (int i = 0; i < 100000; i++)
            counted++;
    } while (now() < until);
}

/* The same without the GIL, under another name. */
static __attribute__((noinline)) void count_released(double seconds)
{
    double until = now() + seconds;
    do {
        for (int i = 0; i < 100000; i++)
            counted += 2;
    } while (now() < until);
}

static __attribute__((noinline)) void nap_cext(double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) && errno == EINTR) {
    }
    counted++;
}

static char from[1 << 20], to[1 << 20];

/* Copies: a thread in it is in the C library's memcpy. */
static __attribute__((noinline)) void copy_cext(double seconds)
{
    void *(*volatile copy)(void *, const void *, size_t) = memcpy;
    double until = now() + seconds;
    do {
        for (int i = 0; i < 100; i++)
            copy(to, from, sizeof to);
    } while (now() < until);
    counted++;
}

static PyObject *hold(PyObject *Py_UNUSED(self), PyObject *args)
{
    const char *how;
    double seconds;
    if (!PyArg_ParseTuple(args, "sd", &how, &seconds))
        return NULL;
    if (!strcmp(how, "count"))
        count_cext(seconds);
    else if (!strcmp(how, "nap"))
        nap_cext(seconds);
    else if (!strcmp(how, "copy"))
        copy_cext(seconds);
    else {
        Py_BEGIN_ALLOW_THREADS
        count_released(seconds);
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"hold", hold, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "gilnative", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_gilnative(void)
{
    return PyModule_Create(&module);
}
