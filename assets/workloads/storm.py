"""Threads that let go of the GIL and want it back at once, thousands of times a second.

Each sleeps for an instant and computes for some 20 us: "many" has eight such
threads, "one" a single one, which lets go as often and hands over to nobody.
"apart" has two that compute for some 400 us, each kept to a core of its own,
and "together" the same two on one core.
Runs until killed, or for the seconds given as first argument.
"""

import os
import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
VARIANT = sys.argv[2] if len(sys.argv) > 2 else "many"
END = time.monotonic() + SECONDS


def let_go_and_take(core, rounds):
    if core is not None:
        # Of the calling thread alone.
        os.sched_setaffinity(0, {core})
    while time.monotonic() < END:
        for _ in range(50):
            time.sleep(0.000001)
            sum(range(rounds))


def main():
    cores = sorted(os.sched_getaffinity(0))
    homes = {
        "many": [None] * 8,
        "one": [None],
        "apart": [cores[0], cores[-1]],
        "together": [cores[-1], cores[-1]],
    }[VARIANT]
    rounds = 500 if VARIANT in ("many", "one") else 16000
    threads = [
        threading.Thread(name="caller-%d" % i, target=let_go_and_take, args=(home, rounds), daemon=True)
        for i, home in enumerate(homes, 1)
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
