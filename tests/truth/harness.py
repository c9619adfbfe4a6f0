"""What the scenarios share: SCENARIO.py EXTENSION SECONDS OUTPUT [ARGUMENT...].

A scenario names its threads and plays them. "ready PID FROM" on stdout says
that all of them run; they stop after SECONDS or when stdin closes, and then
the stamps are in OUTPUT.
"""

import importlib.machinery
import importlib.util
import sys
import threading

EXTENSION, SECONDS, OUTPUT = sys.argv[1], float(sys.argv[2]), sys.argv[3]
ARGUMENTS = sys.argv[4:]


def load(path=EXTENSION):
    loader = importlib.machinery.ExtensionFileLoader("giltruth", path)
    spec = importlib.util.spec_from_file_location("giltruth", path, loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


giltruth = load()


def stamped(name, hold_us, held, off_us, off, jitter=0.0, seed=1):
    """A thread that takes and drops the GIL on a schedule, in C."""
    return threading.Thread(
        name=name,
        target=giltruth.run,
        args=(name, hold_us, held, off_us, off),
        kwargs={"jitter": jitter, "seed": seed, "seconds": SECONDS},
    )


def spin(name):
    giltruth.enter(name)
    n = 0
    while not giltruth.stopped():
        for _ in range(10000):
            n += 1
            n -= 1


def bytecode(name):
    """A thread that runs nothing but bytecode and lets go of the GIL only when asked."""
    return threading.Thread(name=name, target=spin, args=(name,))


def asleep(name):
    """A thread that never wants the GIL."""
    return threading.Thread(name=name, target=giltruth.rest, args=(name,))


def play(threads):
    for thread in threads:
        thread.start()
    giltruth.supervise(len(threads), SECONDS)
    for thread in threads:
        thread.join()
    giltruth.dump(OUTPUT)
    print("done")
