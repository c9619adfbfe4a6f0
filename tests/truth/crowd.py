"""Very many threads, of which four are busy. The argument: how many in all; 1000 if not given."""

import threading

from harness import ARGUMENTS, asleep, play, stamped

CROWD = int(ARGUMENTS[0]) if ARGUMENTS else 1000

threading.stack_size(256 * 1024)
play(
    [asleep("idle-%d" % (i + 1)) for i in range(CROWD - 4)]
    + [stamped("busy-%d" % i, 2000, "busy", 4000, "sleep", jitter=0.2, seed=i) for i in (1, 2, 3, 4)]
)
