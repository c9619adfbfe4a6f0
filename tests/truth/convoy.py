"""An I/O thread that needs the GIL for a moment every few milliseconds, beside threads of pure bytecode.

The argument: how many of those; one if not given.
"""

from harness import ARGUMENTS, bytecode, play, stamped

HOGS = int(ARGUMENTS[0]) if ARGUMENTS else 1

play(
    [stamped("io", 20, "busy", 4000, "sleep", jitter=0.2, seed=7)]
    + [bytecode("hog-%d" % (i + 1)) for i in range(HOGS)]
)
