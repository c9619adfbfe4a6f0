"""Two threads hold the GIL for 50 ms each, a third for 1 ms."""

from harness import play, stamped

play(
    [stamped("long-%d" % i, 50000, "busy", 5000, "sleep", jitter=0.1, seed=i) for i in (1, 2)]
    + [stamped("short", 1000, "busy", 10000, "sleep", jitter=0.1, seed=3)]
)
