"""Two threads in timed waits on condition variables of their own: as waiters for the GIL look, but they are not."""

import threading

from harness import giltruth, play

play(
    [
        threading.Thread(name=name, target=giltruth.decoy, args=(name, 5000))
        for name in ("decoy-1", "decoy-2")
    ]
)
