"""Raw tile instructions, assembled at run time. No torch, no compiler.

- Code: ``jit`` assembles, ``config`` lays out tile configurations, ``registers`` loads and stores
  whole tile registers, ``loops`` keeps one unit of a core busy.
- Exactness: ``instructions`` is the table and computes what each must give, ``fills`` makes
  operands, ``batch`` describes a run, its result and the child that does it, ``execute`` runs it on
  the CPU, ``exactness`` compares.
- State and faults: ``state_checks`` and ``fault_checks``; ``checks`` runs each in a fork.
- Presence: ``xcomp`` asks the kernel for the tile permission; ``tile_probe`` does so in a child and
  has one multiplication run on each CPU.
- Rates: ``probe`` measures units, per cycle of their core, on all CPUs at once.
"""
