"""Native threads that live for 10 ms, one born every 5 ms, each taking the GIL a few times."""

import threading

from harness import giltruth, play

play(
    [
        threading.Thread(
            name="breeder",
            target=giltruth.breed,
            args=("breeder", 5000, 10000, 500, "busy", 1500, "sleep"),
        )
    ]
)
