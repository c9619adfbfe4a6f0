"""Two interpreters in one process: with one GIL between them, or with one each.

"shared": "tenant" computes in an interpreter of its own and lets go every
200 ms only; "io", in the main one, asks for the GIL and is not heard before.
That is a fault of CPython 3.9 to 3.12: a request reaches only threads of the
same interpreter. "own": the same two, each with its own GIL.
Runs until killed, or for the seconds given as first argument.
"""

import sys
import threading
import time

if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
VARIANT = sys.argv[2] if len(sys.argv) > 2 else "shared"
END = time.monotonic() + SECONDS

CODE = """
import time
def compute(end):
    n = 0
    while time.monotonic() < end:
        pause = time.monotonic() + 0.200
        while time.monotonic() < pause:
            n = (n * 31 + 7) %% 1000003
        time.sleep(0.0005)
compute(float("%r"))
"""


def create():
    if VARIANT == "own":
        return interpreters.create("isolated") if sys.version_info >= (3, 13) else interpreters.create()
    if sys.version_info >= (3, 13):
        return interpreters.create("legacy")
    return interpreters.create(isolated=False)


def tenant():
    run = interpreters.exec if sys.version_info >= (3, 13) else interpreters.run_string
    interpreter = create()
    run(interpreter, CODE % END)
    interpreters.destroy(interpreter)


def io():
    while time.monotonic() < END:
        time.sleep(0.010)
        sum(range(200))


def main():
    threads = [
        threading.Thread(name="tenant", target=tenant, daemon=True),
        threading.Thread(name="io", target=io, daemon=True),
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
