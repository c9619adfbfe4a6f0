"""Threads of pure bytecode that trade the GIL. The argument: how many; 4 if not given."""

from harness import ARGUMENTS, bytecode, play

play([bytecode("cpu-%d" % (i + 1)) for i in range(int(ARGUMENTS[0]) if ARGUMENTS else 4)])
