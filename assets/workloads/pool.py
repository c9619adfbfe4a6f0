"""Two processes that compute at full speed, beside two threads that share the GIL of a third for the same work.

A multiprocessing pool of two workers, each with a GIL of its own for which
nobody waits, and "cpu-1" and "cpu-2", which trade the GIL of the process that
made it: twice the threads, the work of one.
Runs until killed, or for the seconds given as argument.
"""

import multiprocessing
import os
import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
END = time.monotonic() + SECONDS


def compute(end, parent):
    n = 0
    while time.monotonic() < end and os.getppid() == parent:
        for _ in range(100000):
            n = (n * 31 + 7) % 1000003


def in_thread():
    compute(END, os.getppid())


def main():
    # Before there are threads: what fork(2) copies of them is of no use to the child.
    workers = multiprocessing.get_context("fork").Pool(2)
    work = workers.starmap_async(compute, [(END, os.getpid())] * 2, chunksize=1)
    threads = [threading.Thread(name="cpu-%d" % i, target=in_thread, daemon=True) for i in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work.wait()
    workers.terminate()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
