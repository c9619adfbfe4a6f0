"""One call of the standard library that holds the GIL throughout: json.loads of a long text, some 100 ms at a time.

"parser" reads the same text again and again, with a pause between. In
"watched" "request-1" and "request-2" want the GIL every few milliseconds; in
"alone" they sleep: the holds are as long, and nobody is kept waiting.
Runs until killed, or for the seconds given as first argument.
"""

import json
import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
VARIANT = sys.argv[2] if len(sys.argv) > 2 else "watched"
END = time.monotonic() + SECONDS


def text_that_takes_long():
    """As long as this machine needs some 100 ms for it."""
    one = json.dumps([{"name": "item", "number": n, "share": n / 7.0} for n in range(100)])[1:-1]
    count = 16
    while True:
        text = "[" + ",".join([one] * count) + "]"
        began = time.perf_counter()
        json.loads(text)
        if time.perf_counter() - began > 0.08:
            return text
        count *= 2


def parse_everything(text):
    # The main thread needs the GIL once more, to wait for the end.
    time.sleep(0.05)
    while time.monotonic() < END:
        json.loads(text)
        time.sleep(0.020)


def request():
    while time.monotonic() < END:
        time.sleep(0.003)
        sum(range(500))


def rest():
    time.sleep(max(0.0, END - time.monotonic()) if SECONDS < 1e6 else 1e6)


def main():
    text = text_that_takes_long()
    serve = rest if VARIANT == "alone" else request
    threads = [threading.Thread(name="parser", target=parse_everything, args=(text,), daemon=True)]
    threads += [threading.Thread(name="request-%d" % i, target=serve, daemon=True) for i in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
