"""Floor 1: raw tile instructions, assembled at run time. No torch, no compiler.

- Assembling: ``jit`` turns LLVM IR and assembly text into callables, ``config`` lays out tile
  configurations, ``kernels`` and ``loops`` are the code that checks and rates are made with.
- Exactness: ``instructions`` is the table, ``oracle`` what each must give bit for bit, ``fills``
  (with ``formats``) the operands, ``batch`` a batch as a value, ``execute`` runs it,
  ``conformance`` compares, ``soak`` repeats, ``bench`` does both in a child, ``outliers`` names a
  slow CPU.
- State and faults: ``state_checks`` and ``fault_checks`` (with ``registers``, ``kernel_calls``),
  each a ``check``; ``checks`` runs them in a child that forks for each.
- Presence: ``xcomp`` speaks to the kernel about the tile permission; ``tile_probe`` runs one real
  tile multiplication on each CPU in a child process (``tile_child``).
- Noise: ``probe`` reads how fast each unit is at this moment.
"""
