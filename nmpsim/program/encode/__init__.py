"""Schedule to Program: instructions, semaphores, buffer regions and DRAM rows, all concrete.

emitter.py      instruction streams, waits, tables
memory.py       DRAM rows of every bank, regions of the buffer
collective.py   all-gather, reduce-scatter and small exchanges as messages between PUs
gemm.py         the passes of a GEMM on every PU
spread.py       a GEMM spread over the PUs: over N, over K, on teams
teams.py        what the members of a team of PUs hand to one another
attention.py    exchange of Q, K, V; KV append; scores, softmax, values
experts.py      router, gather, experts one at a time, combine
stacks.py       collectives between stacks
step.py         the whole decode step
"""

from nmpsim.program.encode.step import encode, lasting_end

__all__ = ["encode", "lasting_end"]
