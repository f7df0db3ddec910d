"""Floor 2: one child process for one instruction-set ceiling, and the parent's handle of it."""
