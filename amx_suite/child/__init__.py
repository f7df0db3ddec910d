"""One way to run code in a child process, which lives no longer than the parent wants it to.

A ``Child`` (``handle``) starts a fresh Python, has it make a *handler* (``serving``), and asks it
one typed question at a time (``messages``, ``channel``). Every process that the suite starts is one
of these: the question whether tiles may be used, tile instructions, readings of the machine, arms.

Two processes make a child (``main``)::

    parent --socket--> keeper (one thread, waits) --fork--> worker (has the handler)

The keeper sees the parent's end of the socket close, however the parent ends, SIGKILL included. It
then kills the worker and all that the worker started, and removes their temporary folder.

Besides the standard library a child needs this package, msgspec, and numpy where arrays are sent.
It gets the parent's module path, but never looks for modules in the working folder.

Nothing is imported here, since the keeper shall not have more than it needs.
"""
