"""A performance conformance suite for Intel AMX in PyTorch.

The rooms, lowest floor first: ``errors`` and ``core`` (values), ``child`` (one way to run code in a
child process), ``tmul`` (raw tile instructions), ``host`` (what this machine offers), ``engines``,
``workloads`` and ``accuracy`` (what is run, and how near its results must be), ``gates`` (minimum
speedups), ``worker`` (one child for one instruction-set ceiling), ``trial`` (arms measured
together), ``report`` (what people read), ``history`` (runs compared), ``plugin`` (pytest) and
``cli`` (the commands).

Imports point down only, and only the child process imports torch.
"""

__version__ = "0.1.0"
