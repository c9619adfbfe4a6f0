"""Many threads that hold the GIL for half a millisecond each. The argument: how many; 32 if not given."""

from harness import ARGUMENTS, play, stamped

play(
    [
        stamped("one-%d" % i, 500, "busy", 25000, "sleep", jitter=0.3, seed=i)
        for i in range(1, 1 + (int(ARGUMENTS[0]) if ARGUMENTS else 32))
    ]
)
