"""Four threads that hold the GIL for 1, 3, 10 and 50 ms, each on a schedule of its own."""

from harness import play, stamped

play(
    [
        stamped("holds-%d" % hold, 1000 * hold, "busy", 10000 + 4000 * hold, "sleep", jitter=0.1, seed=hold)
        for hold in (1, 3, 10, 50)
    ]
)
