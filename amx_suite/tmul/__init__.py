"""Floor 1: raw tile instructions, assembled at run time. No torch, no compiler.

``jit`` turns LLVM IR and assembly text into callables, ``config`` lays out tile configurations,
``xcomp`` speaks to the kernel about the tile permission, ``tile_probe`` runs one real tile
multiplication on each CPU in a child process (``tile_child``).
"""
