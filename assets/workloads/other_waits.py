"""Threads that wait, but not for the GIL.

"lock": four threads share a lock of the program, and each sleeps for 4 ms
with it in hand. "timed": four threads wait 5 ms for what does not come, again
and again: as long as a switch interval. "parallel": four threads compute
checksums, for which Python lets go of the GIL: they wait for cores.
Runs until killed, or for the seconds given as first argument.
"""

import queue
import sys
import threading
import time
import zlib

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
VARIANT = sys.argv[2] if len(sys.argv) > 2 else "lock"
END = time.monotonic() + SECONDS
LOCK = threading.Lock()


def lock():
    while time.monotonic() < END:
        with LOCK:
            time.sleep(0.004)
            sum(range(200))


def timed():
    jobs = queue.Queue()
    while time.monotonic() < END:
        try:
            jobs.get(timeout=0.005)
        except queue.Empty:
            pass


def parallel():
    data = bytes(32000000)
    while time.monotonic() < END:
        zlib.adler32(data)


def main():
    target = {"lock": lock, "timed": timed, "parallel": parallel}[VARIANT]
    threads = [threading.Thread(name="%s-%d" % (VARIANT, i), target=target, daemon=True) for i in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
