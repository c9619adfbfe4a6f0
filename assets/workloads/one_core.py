"""A program kept to one core, which strangers may want too.

"preempted": "cpu" computes and "io" wakes up every 10 ms, beside two busy
processes on the same core, which take it while the GIL is held.
"pinned": the same two threads with the core to themselves.
"run-queue": a single thread beside one busy process: it waits for the core,
and never for the GIL.
Runs until killed, or for the seconds given as first argument.
"""

import os
import signal
import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
VARIANT = sys.argv[2] if len(sys.argv) > 2 else "preempted"
END = time.monotonic() + SECONDS


def stranger(parent):
    """Busy until the program is gone."""
    while os.getppid() == parent:
        for _ in range(100000):
            pass


def compute():
    n = 0
    while time.monotonic() < END:
        for _ in range(100000):
            n = (n * 31 + 7) % 1000003


def io():
    while time.monotonic() < END:
        time.sleep(0.010)
        sum(range(200))


def work():
    while time.monotonic() < END:
        sum(range(100000))
        time.sleep(0.002)


def main():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    parent = os.getpid()
    for _ in range({"preempted": 2, "pinned": 0, "run-queue": 1}[VARIANT]):
        if os.fork() == 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            stranger(parent)
            os._exit(0)
    if VARIANT == "run-queue":
        threads = [threading.Thread(name="worker", target=work, daemon=True)]
    else:
        threads = [
            threading.Thread(name="cpu", target=compute, daemon=True),
            threading.Thread(name="io", target=io, daemon=True),
        ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
