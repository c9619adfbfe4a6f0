"""Three threads, each of which holds the GIL for 5 ms and then sleeps for 5 ms without it."""

from harness import play, stamped

play([stamped("worker-%d" % i, 5000, "busy", 5000, "sleep", jitter=0.1, seed=i) for i in (1, 2, 3)])
