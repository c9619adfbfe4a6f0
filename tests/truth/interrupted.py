"""A program that handles SIGUSR1, whose main thread is in STATE beside HOGS threads of bytecode: arguments STATE HOGS.

The stamps of the signals are in OUTPUT from the beginning. It ends when stdin closes.
"""

import os
import random
import select
import signal
import sys
import threading
import time

from harness import ARGUMENTS, OUTPUT, giltruth

STATE, HOGS = ARGUMENTS[0], int(ARGUMENTS[1])
over = False


def handler(number, frame):
    giltruth.handled()


def count(rounds):
    n = 0
    for _ in range(rounds):
        n += 1


def until_told():
    global over
    while os.read(0, 64):
        pass
    over = True


def hog():
    while not over:
        count(1000)


def rival():
    while not over:
        giltruth.hold(random.uniform(5000, 40000))


def other():
    # It takes the signal where the main thread blocks it.
    while not over:
        time.sleep(0.1)


def daemon(target):
    thread = threading.Thread(target=target, name=target.__name__)
    thread.daemon = True
    thread.start()
    return thread


def in_bytecode():
    while not over:
        count(1000)


def in_c():
    while not over:
        giltruth.hold(random.uniform(5000, 60000))
        count(1000)


def in_c_and_bytecode():
    while not over:
        giltruth.hold(random.uniform(5000, 60000))
        until = time.monotonic() + random.uniform(0.004, 0.02)
        while time.monotonic() < until:
            count(300)


def in_sleep():
    while not over:
        time.sleep(3)


def in_select():
    select.select([0], [], [])


def in_lock():
    lock = threading.Lock()
    lock.acquire()

    def release():
        while not over:
            time.sleep(0.5)
        lock.release()

    daemon(release)
    lock.acquire()


signal.signal(signal.SIGUSR1, handler)
giltruth.stamp_signals(signal.SIGUSR1, OUTPUT)
teller = daemon(until_told)
if STATE == "rival-in-c":
    daemon(rival)
if STATE == "other-thread":
    daemon(other)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
for _ in range(HOGS):
    daemon(hog)
sys.stdout.write("ready %d %d\n" % (os.getpid(), time.monotonic_ns()))
sys.stdout.flush()
{
    "bytecode": in_bytecode,
    "rival-in-c": in_bytecode,
    "other-thread": in_bytecode,
    "c": in_c,
    "c-and-bytecode": in_c_and_bytecode,
    "join": teller.join,
    "lock": in_lock,
    "sleep": in_sleep,
    "select": in_select,
}[STATE]()
os._exit(0)
