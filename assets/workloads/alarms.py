"""A signal four times a second, whose Python handler has to wait until the main thread has the GIL.

In "busy" the main thread sleeps beside twenty that compute, so that every
handler stands in line behind them. In "calm" it sleeps alone.
Runs until killed, or for the seconds given as first argument.
"""

import signal
import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
VARIANT = sys.argv[2] if len(sys.argv) > 2 else "busy"
END = time.monotonic() + SECONDS
SEEN = []


def handler(number, frame):
    SEEN.append(number)
    del SEEN[:-10]


def compute():
    n = 0
    while time.monotonic() < END:
        for _ in range(100000):
            n = (n * 31 + 7) % 1000003


def main():
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.25, 0.25)
    names = ["cpu-%d" % i for i in range(1, 21)] if VARIANT == "busy" else []
    threads = [threading.Thread(name=name, target=compute, daemon=True) for name in names]
    for thread in threads:
        thread.start()
    while time.monotonic() < END:
        time.sleep(min(1.0, max(0.0, END - time.monotonic())))
    signal.setitimer(signal.ITIMER_REAL, 0)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
