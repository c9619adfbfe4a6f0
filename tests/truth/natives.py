"""200 native threads that call in by turns, each 12 times a second and each for a second."""

import threading

from harness import giltruth, play

play(
    [
        threading.Thread(
            name="dispatcher",
            target=giltruth.breed,
            args=("dispatcher", 5000, 1000000, 50, "busy", 80000, "sleep"),
        )
    ]
)
