"""Processes that a program makes, by the first argument, for the seconds of the second.

"pool HOW": two workers of a multiprocessing pool that compute all the time, beside two threads that share one GIL.
"brief COUNT": children of fork(2) that are gone after 2 ms.
"others PYTHON": another Python that sleeps, and a program that is none and starts a third.
"grandchild": a child of fork(2) that makes another, which computes.
"""

import os
import subprocess
import sys
import threading
import time


def compute(seconds):
    end = time.monotonic() + seconds
    n = 0
    while time.monotonic() < end:
        for _ in range(10000):
            n = (n * 31 + 7) % 1000003
    return os.getpid()


def pool(seconds, how):
    import multiprocessing

    with multiprocessing.get_context(how).Pool(2) as workers:
        work = workers.map_async(compute, [seconds] * 2, chunksize=1)
        threads = [threading.Thread(target=compute, args=(seconds,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("workers", *work.get(), flush=True)


def brief(seconds, count):
    for _ in range(int(count)):
        child = os.fork()
        if child == 0:
            time.sleep(0.002)
            os._exit(0)
        os.waitpid(child, 0)
        time.sleep(seconds / int(count))


def others(seconds, python):
    code = "import time; time.sleep(%s)" % seconds
    shell = "'%s' -c '%s'; true" % (sys.executable, code)
    children = [subprocess.Popen([python, "-c", code]), subprocess.Popen(["sh", "-c", shell])]
    for child in children:
        child.wait()


def grandchild(seconds):
    child = os.fork()
    if child == 0:
        inner = os.fork()
        if inner == 0:
            compute(seconds)
            os._exit(0)
        os.waitpid(inner, 0)
        os._exit(0)
    os.waitpid(child, 0)


if __name__ == "__main__":
    seconds = float(sys.argv[2])
    print("ready", flush=True)
    {"pool": pool, "brief": brief, "others": others, "grandchild": grandchild}[sys.argv[1]](seconds, *sys.argv[3:])
