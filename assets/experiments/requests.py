"""A fixed number of requests to an echo thread, one after the other, beside so many CPU-bound threads.

Arguments: how many such threads, and how many requests. Each request takes the
echo thread two I/O calls, and so the GIL twice. Who asks is another process.
"""

import os
import signal
import socket
import sys
import threading

HOGS = int(sys.argv[1])
REQUESTS = int(sys.argv[2])
OVER = threading.Event()


def ask(link):
    for _ in range(REQUESTS):
        link.send(b"ping")
        if not link.recv(64):
            return


def echo(link):
    while True:
        message = link.recv(64)
        if not message:
            return
        link.send(message.upper())


def compute():
    n = 0
    while not OVER.is_set():
        for _ in range(1000):
            n = (n * 31 + 7) % 1000003


def main():
    inside, outside = socket.socketpair()
    if os.fork() == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        inside.close()
        ask(outside)
        os._exit(0)
    outside.close()
    hogs = [threading.Thread(name="cpu-hog-%d" % n, target=compute, daemon=True) for n in range(HOGS)]
    for hog in hogs:
        hog.start()
    server = threading.Thread(name="io-echo", target=echo, args=(inside,))
    server.start()
    server.join()
    OVER.set()
    for hog in hogs:
        hog.join()
    os.wait()


if __name__ == "__main__":
    main()
