"""A performance conformance suite for Intel AMX in PyTorch.

The rooms, lowest floor first: ``extensions`` (rows of other packages), ``core`` (values), ``child``
(one way to run code in a child process), ``tmul`` (raw tile instructions), ``host`` (what this
machine offers), ``engines``, ``workloads``, ``gates`` and ``accuracy`` (what is run, and what is
demanded), ``worker`` (one child for one instruction-set ceiling), ``trial`` (arms measured
together), ``report`` (what people read), ``history`` (nights compared) and ``calibration`` (what
quiet is), and on top the pytest plugin, what it calls (``testing``), and the command line.

Imports point down only, and nothing but the child process imports torch.
"""

__version__ = "0.1.0"
