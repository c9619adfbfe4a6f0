"""A C extension that blocks for seconds at a time, with the GIL in hand or without, beside a meter in the process.

"blocker" calls into C again and again: "sleep_holding", "count_holding" or
"sleep_releasing", as the second argument says, for as many seconds as the
fourth. "meter" is what monitors do that live in the process they watch: it
looks every 10 ms, for which it needs the GIL itself. While that is held in
one piece it gets one look, instead of a hundred a second.
Runs until killed, or for the seconds given as first argument; the third is
the extension's file.
"""

import importlib.machinery
import importlib.util
import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
FUNCTION = sys.argv[2]
PIECE = float(sys.argv[4])
END = time.monotonic() + SECONDS


def extension():
    loader = importlib.machinery.ExtensionFileLoader("countext", sys.argv[3])
    spec = importlib.util.spec_from_file_location("countext", sys.argv[3], loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def block(call):
    # The main thread needs the GIL once more, to wait for the end.
    time.sleep(0.05)
    while time.monotonic() < END:
        call(max(0.0, min(PIECE, END - time.monotonic())))


def meter():
    looks = 0
    while time.monotonic() < END:
        time.sleep(0.010)
        looks += 1


def main():
    threads = [
        threading.Thread(name="meter", target=meter, daemon=True),
        threading.Thread(name="blocker", target=block, args=(getattr(extension(), FUNCTION),), daemon=True),
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
