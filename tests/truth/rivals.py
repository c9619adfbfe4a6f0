"""Two threads that need the GIL for a moment, one of them again at once, beside two threads of pure bytecode."""

from harness import bytecode, play, stamped

play(
    [stamped("eager", 20, "busy", 50, "sleep", jitter=0.2, seed=7)]
    + [stamped("calm", 20, "busy", 2000, "sleep", jitter=0.2, seed=8)]
    + [bytecode("hog-1"), bytecode("hog-2")]
)
