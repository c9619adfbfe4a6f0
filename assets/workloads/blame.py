"""Functions that hold the GIL for known times: who reads which share of the waiting is known beforehand.

"holder" calls, in an order drawn by lot, hold_1ms, hold_5ms, hold_10ms,
hold_20ms and hold_50ms 10, 4, 3, 2 and 1 times each ("five"): 6.7, 13.3,
20.0, 26.7 and 33.3 % of its time; or hold_1ms 58 times and hold_50ms once
("halves", and "alone"): half of the waiting each, since "waiter", which wants
the GIL always, is back some 0.15 ms after each call has begun. It lets go after
each, and is not made to before. In "alone" the other one sleeps.
Runs until killed, or for the seconds given as first argument.
"""

import random
import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
VARIANT = sys.argv[2] if len(sys.argv) > 2 else "five"
END = time.monotonic() + SECONDS


def hold_1ms():
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        pass


def hold_5ms():
    end = time.perf_counter() + 0.005
    while time.perf_counter() < end:
        pass


def hold_10ms():
    end = time.perf_counter() + 0.010
    while time.perf_counter() < end:
        pass


def hold_20ms():
    end = time.perf_counter() + 0.020
    while time.perf_counter() < end:
        pass


def hold_50ms():
    end = time.perf_counter() + 0.050
    while time.perf_counter() < end:
        pass


FIVE = [hold_1ms] * 10 + [hold_5ms] * 4 + [hold_10ms] * 3 + [hold_20ms] * 2 + [hold_50ms]
HALVES = [hold_1ms] * 58 + [hold_50ms]


def hold():
    calls = list(FIVE if VARIANT == "five" else HALVES)
    while True:
        random.shuffle(calls)
        for call in calls:
            if time.monotonic() >= END:
                return
            call()
            # Long enough for the waiter to wake up and take it.
            time.sleep(0.0002)


def wait():
    # So short a sleep that it is back, and waits, when the next hold has hardly begun.
    while time.monotonic() < END:
        time.sleep(0.00001)


def rest():
    time.sleep(max(0.0, END - time.monotonic()) if SECONDS < 1e6 else 1e6)


def main():
    # A function that computes is asked to let go after a switch interval: longer than any of these.
    sys.setswitchinterval(0.5)
    threads = [
        threading.Thread(name="holder", target=hold, daemon=True),
        threading.Thread(name="waiter", target=rest if VARIANT == "alone" else wait, daemon=True),
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
