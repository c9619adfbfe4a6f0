"""The case study of the GIL literature: an I/O thread beside the same count in Python, in numpy, and in C.

"io" wakes up every 10 ms for a moment ("rarely": every second), and
"counter" counts, in the way that the second argument says: "python" and
"rarely" in bytecode, "numpy" in an array, "holding" and "releasing" in a C
extension, whose file is the third argument.
Runs until killed, or for the seconds given as first argument.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
VARIANT = sys.argv[2] if len(sys.argv) > 2 else "python"
END = time.monotonic() + SECONDS
# How long one call of the extension counts.
CALL = 2.0


def io(pause):
    while time.monotonic() < END:
        time.sleep(min(pause, max(0.0, END - time.monotonic())))
        sum(range(200))


def count_in_python():
    n = 0
    while time.monotonic() < END:
        for _ in range(100000):
            n = n + 1


def count_in_numpy(numpy):
    # Each addition takes milliseconds without the GIL.
    n = numpy.zeros(4000000)
    while time.monotonic() < END:
        numpy.add(n, 1.0, out=n)


def extension():
    loader = importlib.machinery.ExtensionFileLoader("countext", sys.argv[3])
    spec = importlib.util.spec_from_file_location("countext", sys.argv[3], loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def count_in_c(count):
    # The main thread needs the GIL once more, to wait for the end.
    time.sleep(0.05)
    while time.monotonic() < END:
        count(max(0.0, min(CALL, END - time.monotonic())))


def main():
    count, arguments = count_in_python, ()
    if VARIANT == "numpy":
        # That holds the GIL for a good while: before there is anybody to wait.
        count, arguments = count_in_numpy, (importlib.import_module("numpy"),)
    elif VARIANT in ("holding", "releasing"):
        count, arguments = count_in_c, (getattr(extension(), "count_" + VARIANT),)
    threads = [
        threading.Thread(name="io", target=io, args=(1.0 if VARIANT == "rarely" else 0.010,), daemon=True),
        threading.Thread(name="counter", target=count, args=arguments, daemon=True),
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
