"""Four CPU-bound threads that trade the GIL: four times the threads, the work of one.

"cpu-1" to "cpu-4" run pure Python, so that each waits three quarters of its
time. Processes, or a library that computes without the GIL, would use the
cores. As many threads as the second argument says; four without one.
Runs until killed, or for the seconds given as first argument.
"""

import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
END = time.monotonic() + SECONDS
THREADS = int(sys.argv[2]) if len(sys.argv) > 2 else 4


def compute():
    n = 0
    while time.monotonic() < END:
        for _ in range(100000):
            n = (n * 31 + 7) % 1000003


def main():
    threads = [threading.Thread(name="cpu-%d" % i, target=compute, daemon=True) for i in range(1, THREADS + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
