"""A thread that holds the GIL again and again, each time for so many seconds, in the way it is told; with `waited`, another
one wants it every two milliseconds.

holder.py EXTENSION HOW SECONDS alone|waited
"""

import importlib.util
import sys
import threading
import time

path, how, seconds, company = sys.argv[1:5]
spec = importlib.util.spec_from_file_location("gilnative", path)
gilnative = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gilnative)


def want():
    while True:
        time.sleep(0.002)


def hold_python():
    """Bytecode and nothing else."""
    until = time.monotonic() + float(seconds)
    n = 0
    while time.monotonic() < until:
        for _ in range(100000):
            n += 1


def hold_interpreter():
    """One bytecode instruction, of a second or so."""
    return NUMBER * NUMBER


NUMBER = 7 ** 1500000 if how == "interpreter" else 0
if company == "waited":
    threading.Thread(target=want, daemon=True, name="wanting").start()
sys.stdout.write("ready\n")
sys.stdout.flush()
while True:
    if how == "python":
        hold_python()
    elif how == "interpreter":
        hold_interpreter()
    else:
        gilnative.hold(how, float(seconds))
    time.sleep(0.05)
