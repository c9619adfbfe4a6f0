"""Sub-interpreters with GILs of their own (CPython 3.12 on), each kept busy by one thread. The argument: how many; 2 if
not given."""

import sys
import threading

from harness import ARGUMENTS, EXTENSION, SECONDS, play

if sys.version_info >= (3, 13):
    import _interpreters as interpreters

    run = interpreters.exec
else:
    import _xxsubinterpreters as interpreters

    run = interpreters.run_string

CODE = """
import importlib.machinery, importlib.util
loader = importlib.machinery.ExtensionFileLoader("giltruth", {path!r})
spec = importlib.util.spec_from_file_location("giltruth", {path!r}, loader=loader)
giltruth = importlib.util.module_from_spec(spec)
loader.exec_module(giltruth)
giltruth.run({name!r}, 5000, "busy", 1000, "sleep", jitter=0.1, seed={seed}, seconds={seconds})
"""


def inside(name, seed):
    code = CODE.format(path=EXTENSION, name=name, seed=seed, seconds=SECONDS)
    interpreter = interpreters.create()
    failure = run(interpreter, code)
    interpreters.destroy(interpreter)
    if failure is not None:
        sys.exit("%s: %s" % (name, failure))


play(
    [
        threading.Thread(name=name, target=inside, args=(name, seed))
        for seed, name in enumerate(["tenant-%d" % (i + 1) for i in range(int(ARGUMENTS[0]) if ARGUMENTS else 2)], 1)
    ]
)
