"""A C call that sleeps with the GIL in hand: no core is busy, and three threads cannot move.

"c-sleeper" calls into C for 80 of every 100 ms without letting go of the GIL,
as a binding does that forgot Py_BEGIN_ALLOW_THREADS around a blocking call.
"victim-1" to "victim-3" want it every few milliseconds.
Runs until killed, or for the seconds given as argument.
"""

import ctypes
import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
END = time.monotonic() + SECONDS

# PyDLL, unlike CDLL, keeps the GIL during its calls.
usleep = ctypes.PyDLL(None).usleep
usleep.argtypes = [ctypes.c_uint]


def sleep_with_the_gil():
    while time.monotonic() < END:
        usleep(80000)
        time.sleep(0.020)


def work():
    while time.monotonic() < END:
        time.sleep(0.003)
        sum(range(500))


def main():
    threads = [threading.Thread(name="c-sleeper", target=sleep_with_the_gil, daemon=True)]
    threads += [threading.Thread(name="victim-%d" % i, target=work, daemon=True) for i in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
