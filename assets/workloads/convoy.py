"""An I/O thread in a convoy: beside one CPU-bound thread, each of its I/O calls costs it a whole switch interval.

"io-echo" answers small messages, which takes it some 20 us each. After every
recv() and send() it needs the GIL back, and "cpu-hog" gives that up only when
asked to, a switch interval later.
Runs until killed, or for the seconds given as argument.
"""

import os
import signal
import socket
import sys
import threading
import time

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
END = time.monotonic() + SECONDS


def knock(link):
    """The world outside, in a process of its own: a message 4 ms after each answer, until nobody answers."""
    try:
        while True:
            time.sleep(0.004)
            link.send(b"ping")
            if not link.recv(64):
                return
    except OSError:
        return


def echo(link):
    while time.monotonic() < END:
        message = link.recv(64)
        if not message:
            return
        link.send(message.upper())


def compute():
    n = 0
    while time.monotonic() < END:
        for _ in range(100000):
            n = (n * 31 + 7) % 1000003


def main():
    inside, outside = socket.socketpair()
    if os.fork() == 0:
        # It ends with us, when nobody answers any more, and not by a Ctrl-C of its own.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        inside.close()
        knock(outside)
        os._exit(0)
    outside.close()
    threads = [
        threading.Thread(name="io-echo", target=echo, args=(inside,), daemon=True),
        threading.Thread(name="cpu-hog", target=compute, daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    inside.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
