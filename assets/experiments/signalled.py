"""A main thread in join(), with a signal handler in Python, beside so many CPU-bound threads.

Arguments: how many such threads, and how many signals. Another process sends them, 20 to 60 ms apart.
"""

import os
import random
import signal
import sys
import threading
import time

HOGS = int(sys.argv[1])
SIGNALS = int(sys.argv[2])
OVER = threading.Event()


def handle(signum, frame):
    pass


def send(pid):
    time.sleep(0.3)
    for _ in range(SIGNALS):
        time.sleep(random.uniform(0.02, 0.06))
        os.kill(pid, signal.SIGUSR1)


def compute():
    n = 0
    while not OVER.is_set():
        for _ in range(1000):
            n = (n * 31 + 7) % 1000003


def wait(child):
    os.waitpid(child, 0)
    OVER.set()


def main():
    signal.signal(signal.SIGUSR1, handle)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        send(parent)
        os._exit(0)
    hogs = [threading.Thread(name="cpu-hog-%d" % n, target=compute, daemon=True) for n in range(HOGS)]
    for hog in hogs:
        hog.start()
    waiter = threading.Thread(name="waiter", target=wait, args=(child,))
    waiter.start()
    waiter.join()
    for hog in hogs:
        hog.join()


if __name__ == "__main__":
    main()
