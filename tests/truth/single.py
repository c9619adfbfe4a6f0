"""One busy thread alone: all the load there can be, and no contention."""

from harness import bytecode, play

play([bytecode("busy")])
