"""One thread sleeps for 80 of every 100 ms with the GIL in hand, beside three that want it for a moment."""

from harness import play, stamped

play(
    [stamped("sleeper", 80000, "sleep", 20000, "sleep")]
    + [stamped("victim-%d" % i, 20, "busy", 3000, "sleep", jitter=0.3, seed=i) for i in (1, 2, 3)]
)
