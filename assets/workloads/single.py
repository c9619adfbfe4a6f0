"""One busy thread alone: the GIL is always held, and nobody waits for it.

"cpu-alone" computes while the main thread waits for it to end. A load of
100 % is not yet a problem.
Runs until killed, or for the seconds given as argument.
"""

import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
END = time.monotonic() + SECONDS


def compute():
    n = 0
    while time.monotonic() < END:
        for _ in range(100000):
            n = (n * 31 + 7) % 1000003


def main():
    thread = threading.Thread(name="cpu-alone", target=compute, daemon=True)
    thread.start()
    thread.join()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
