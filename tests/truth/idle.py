"""Four threads that are all asleep without the GIL."""

from harness import asleep, play

play([asleep("sleeper-%d" % i) for i in (1, 2, 3, 4)])
