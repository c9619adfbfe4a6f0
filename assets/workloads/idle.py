"""Nothing to do: four threads asleep, the GIL free.

"worker-1" to "worker-4" wait for work that does not come.
Runs until killed, or for the seconds given as argument.
"""

import queue
import sys
import threading

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else None


def work(jobs):
    try:
        jobs.get(timeout=SECONDS)
    except queue.Empty:
        pass


def main():
    jobs = queue.Queue()
    threads = [threading.Thread(name="worker-%d" % i, target=work, args=(jobs,), daemon=True) for i in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
