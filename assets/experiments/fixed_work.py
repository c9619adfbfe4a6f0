"""A fixed amount of work, shared out: what is measured is how long all of it takes.

Arguments: how (threads, processes, pools or interpreters), what (python or sha256), among how many, and how much. "python" counts in
bytecode, which needs the GIL all the time; "sha256" hashes long texts, which lets go of it. "pools" is half as many
processes with two threads each. "interpreters" have a GIL each (CPython 3.12 and later). Work that fails ends it with status 1.
"""

import hashlib
import os
import sys
import threading
import traceback

HOW = sys.argv[1]
WHAT = sys.argv[2]
WORKERS = int(sys.argv[3])
AMOUNT = int(sys.argv[4])

CODE = """
def work(amount):
    n = 0
    for _ in range(amount):
        n = (n * 31 + 7) % 1000003
work(AMOUNT)
"""


def count(amount):
    n = 0
    for _ in range(amount):
        n = (n * 31 + 7) % 1000003


def hash_texts(amount):
    text = b"x" * (1 << 20)
    for _ in range(amount):
        hashlib.sha256(text).digest()


def interpret(amount):
    if sys.version_info >= (3, 13):
        import _interpreters as interpreters
        interpreter, run = interpreters.create("isolated"), interpreters.exec
    else:
        import _xxsubinterpreters as interpreters
        interpreter, run = interpreters.create(), interpreters.run_string
    failed = run(interpreter, CODE.replace("AMOUNT", str(amount)))
    if failed is not None:
        raise RuntimeError(failed)
    interpreters.destroy(interpreter)


def among_threads(workers, amount, work):
    done = []

    def share():
        work(amount // workers)
        done.append(True)

    threads = [threading.Thread(name="worker-%d" % n, target=share) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(done) < workers:
        sys.exit(1)


def among_processes(processes, work):
    """In this process and in others that it makes."""
    children = []
    for _ in range(processes - 1):
        pid = os.fork()
        if pid == 0:
            try:
                work()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        children.append(pid)
    work()
    if any(os.waitpid(pid, 0)[1] for pid in children):
        sys.exit(1)


def main():
    work = {"python": count, "sha256": hash_texts}[WHAT]
    if HOW == "threads":
        among_threads(WORKERS, AMOUNT, work)
    elif HOW == "interpreters":
        among_threads(WORKERS, AMOUNT, interpret)
    elif HOW == "processes":
        among_processes(WORKERS, lambda: work(AMOUNT // WORKERS))
    elif HOW == "pools":
        pools = max(WORKERS // 2, 1)
        among_processes(pools, lambda: among_threads(2, AMOUNT // pools, work))


if __name__ == "__main__":
    main()
