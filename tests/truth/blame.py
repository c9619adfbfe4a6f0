"""A victim that asks for the GIL all the time, stamped, behind a thread that holds it in functions of known names.

The arguments: how many milliseconds each function holds it for. They get as much of the time each, and stamp their calls:
"LENGTH:BEGAN:ENDED" a line in OUTPUT.calls.
"""

import random
import threading
import time

from harness import ARGUMENTS, OUTPUT, giltruth, play, stamped

clock = time.monotonic
calls = []


def burn(seconds):
    until = clock() + seconds
    while clock() < until:
        pass


functions = []
for length in map(int, ARGUMENTS):
    exec("def hold_%d():\n    burn(%d / 1000.0)\n" % (length, length))
    functions.append((globals()["hold_%d" % length], length))


def hog(name):
    giltruth.enter(name)
    draw = random.Random(7)
    weights = [1.0 / length for _, length in functions]
    while not giltruth.stopped():
        function, length = draw.choices(functions, weights)[0]
        began = clock()
        function()
        calls.append("%d:%d:%d\n" % (length, began * 1e9, clock() * 1e9))
        time.sleep(0.0003)


play([stamped("victim", 5, "busy", 100, "sleep"), threading.Thread(name="hog", target=hog, args=("hog",))])
with open(OUTPUT + ".calls", "w") as out:
    out.writelines(calls)
