"""An arm in its child process, and the parent's handle of it."""
