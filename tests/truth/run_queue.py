"""One thread that never has to wait for the GIL, on a core that it shares with a busy stranger."""

import os
import subprocess

from harness import giltruth, play, stamped

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
stranger = subprocess.Popen(
    ["/bin/sh", "-c", "while :; do :; done"],
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    preexec_fn=giltruth.die_with_parent,
)
try:
    play([stamped("lonely", 3000, "busy", 2000, "sleep", jitter=0.1)])
finally:
    stranger.kill()
    stranger.wait()
